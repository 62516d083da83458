// Preloaded under valgrind: gridfold starts its children as /proc/self/exe, which to the kernel is valgrind's tool and
// not the program under it. Here they are started by the program's own name, so that valgrind follows them.
#include <dlfcn.h>
#include <limits.h>
#include <spawn.h>
#include <string.h>
#include <unistd.h>

typedef int spawn_function(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *,
                           char *const[], char *const[]);

int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                const posix_spawnattr_t *attributes, char *const arguments[], char *const environment[]) {
    char own[PATH_MAX];
    spawn_function *next = (spawn_function *)dlsym(RTLD_NEXT, "posix_spawn");
    if (strcmp(path, "/proc/self/exe") == 0) {
        ssize_t n = readlink(path, own, sizeof own - 1); // valgrind answers this one with the program
        if (n > 0) {
            own[n] = 0;
            path = own;
        }
    }
    return next(pid, path, actions, attributes, arguments, environment);
}
