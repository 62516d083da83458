"""optuna_journal.py N FILE random|grid: N trials of a function that returns a number at once, over Optuna's journal file (which calls fsync itself)."""
import sys

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend


def main():
    count, path, method = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    side = round(count ** (1 / 3) + 0.5)
    values = list(range(side))
    sampler = optuna.samplers.RandomSampler(seed=1)
    if method == "grid":
        sampler = optuna.samplers.GridSampler({"a": values, "b": values, "c": values}, seed=1)
    study = optuna.create_study(storage=JournalStorage(JournalFileBackend(path)), sampler=sampler)
    study.optimize(lambda t: t.suggest_int("a", 0, side - 1) + t.suggest_int("b", 0, side - 1) + t.suggest_int("c", 0, side - 1), n_trials=count)
    assert len(study.trials) == count


if __name__ == "__main__":
    main()
