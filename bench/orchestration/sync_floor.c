// sync_floor FILE N: appends N rows of 100 bytes to FILE, each with its fdatasync; prints milliseconds a row.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
    struct timespec a, b;
    char row[100];
    int n = argc > 2 ? atoi(argv[2]) : 0, fd = n > 0 ? open(argv[1], O_WRONLY | O_CREAT | O_APPEND, 0666) : -1;
    memset(row, 'x', sizeof row);
    row[sizeof row - 1] = '\n';
    if (fd < 0)
        return 1;
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (int i = 0; i < n; i++)
        if (write(fd, row, sizeof row) != (ssize_t)sizeof row || fdatasync(fd) != 0)
            return 1;
    clock_gettime(CLOCK_MONOTONIC, &b);
    printf("%.4f\n", ((double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) * 1e-6) / n);
    return 0;
}
