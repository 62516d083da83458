"""Times two programs step by step in turn, so that both see the same machine: one step of A, one of B, and so on.

    python3 pair.py ROUNDS 'command of A' 'command of B'

A command prints "ready NAME" and then answers each line on its standard input with "SECONDS MIB" (train_step.c, torch_step.py). Prints one Markdown row:
median milliseconds of both with the least and the most, the median of the ratios B / A of each round, and the most memory of both.
"""
import shlex
import statistics
import subprocess
import sys


class Stepper:
    def __init__(self, command):
        self.process = subprocess.Popen(shlex.split(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.times, self.memory = [], 0.0
        self.name = self.answer().removeprefix("ready ")

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"pair.py: ended early: {shlex.join(self.process.args)}")
        return line.strip()

    def step(self):
        self.process.stdin.write("step\n")
        self.process.stdin.flush()
        seconds, memory = map(float, self.answer().split())
        self.times.append(1e3 * seconds)
        self.memory = memory

    def close(self):
        self.process.stdin.close()
        self.process.wait()

    def milliseconds(self):
        return f"{statistics.median(self.times):.0f} ({min(self.times):.0f} .. {max(self.times):.0f})"


def main():
    rounds, *commands = sys.argv[1:]
    a, b = (Stepper(command) for command in commands)
    for _ in range(int(rounds)):
        a.step()
        b.step()
    a.close()
    b.close()
    ratios = [y / x for x, y in zip(a.times, b.times)]
    print(f"| {b.name} | {b.milliseconds()} | {a.milliseconds()} | {statistics.median(ratios):.2f} ({min(ratios):.2f} .. {max(ratios):.2f}) | {b.memory:.0f} | {a.memory:.0f} |",
          flush=True)


if __name__ == "__main__":
    main()
