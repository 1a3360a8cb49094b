"""Prints the moving average of the numbers read from standard input, one number a line."""

import sys
from collections import deque


def moving_average(numbers, width):
    """Yields the mean of the last `width` numbers, from the first number on."""
    window = deque(maxlen=width)
    for number in numbers:
        window.append(number)
        yield sum(window) / len(window)


def main():
    width = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    if width < 1:
        sys.exit("the width must be at least 1")
    numbers = (float(line) for line in sys.stdin if line.strip())
    for mean in moving_average(numbers, width):
        print(f"{mean:.3f}")


if __name__ == "__main__":
    main()
