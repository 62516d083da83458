#include "tests/cuda/processes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <omp.h>
#include <sys/wait.h>
#include <unistd.h>

void run_processes(int count, void (*body)(int member, void *context), void *context, int *status, char *words,
                   size_t size) {
    FILE *said = tmpfile();
    pid_t pid[4];
    assert_non_null(said);
    assert_in_range(count, 1, 4);
    for (int m = 0; m < count; m++) {
        pid[m] = fork();
        assert_true(pid[m] >= 0);
        if (pid[m] == 0) {
            omp_set_num_threads(1); // OpenMP's other threads are not in a forked process, and it would wait for them
            dup2(fileno(said), STDERR_FILENO);
            body(m, context);
            _exit(0);
        }
    }
    for (int m = 0; m < count; m++)
        assert_int_equal(waitpid(pid[m], &status[m], 0), pid[m]);
    rewind(said);
    size_t read = fread(words, 1, size - 1, said);
    words[read] = 0;
    fclose(said);
}

void require(bool right, const char *what) {
    if (!right) {
        fprintf(stderr, "failed: %s\n", what);
        _exit(1);
    }
}
