"""mpirun -np R python3 -m mpi4py.futures mpi4py_pool.py N FILE sync|nosync: N calls that return a number at once; rank 0 appends a row for each to FILE."""
import os
import sys

from mpi4py.futures import MPIPoolExecutor


def value(trial):
    return (trial * 2654435761 % 2**32) / 2**32


def main():
    count, sync = int(sys.argv[1]), sys.argv[3] == "sync"
    with MPIPoolExecutor() as pool, open(sys.argv[2], "a") as rows:
        for trial, result in enumerate(pool.map(value, range(count), unordered=True)):
            rows.write(f"{trial},{result}\n")
            rows.flush()
            if sync:
                os.fdatasync(rows.fileno())


if __name__ == "__main__":
    main()
