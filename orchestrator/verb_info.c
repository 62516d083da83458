#include <gsl/gsl_version.h>
#include <jansson.h>
#include <mpi.h>
#include <string.h>
#include <unistd.h>
#ifdef GRIDFOLD_GDAL
#include <gdal.h>
#endif

#include "model/backend.h"
#include "orchestrator/verbs.h"

static void print_backend(backend *b, const char *name) {
    char text[256];
    b->ops->describe(b, text, sizeof text);
    printf("  %-10s %s\n", name, text);
    backend_destroy(b);
}

static void print_backends(void) {
    struct backend_config config = {.threads = (int)sysconf(_SC_NPROCESSORS_ONLN)};
    printf("backends: %s\n", backend_list());
    for (const char *at = backend_list(); *at; at += strspn(at, ", ")) { // "reference, onednn"
        char name[32];
        struct error err;
        backend *b;
        size_t length = strcspn(at, ", ");
        snprintf(name, sizeof name, "%.*s", (int)length, at);
        at += length;
        if (backend_create(name, &config, &b, &err) != STATUS_OK) {
            printf("  %-10s does not work here: %s\n", name, err.message);
            continue;
        }
        print_backend(b, name);
        // Further GPUs, until there is none of that number.
        for (config.device = 1; strcmp(name, "cuda") == 0; config.device++) {
            if (backend_create(name, &config, &b, &err) != STATUS_OK)
                break;
            print_backend(b, name);
        }
        config.device = 0;
    }
}

static void print_libraries(void) {
    char mpi[MPI_MAX_LIBRARY_VERSION_STRING];
    int length;
    MPI_Get_library_version(mpi, &length); // allowed before MPI_Init
    mpi[strcspn(mpi, ",\n")] = '\0';
    printf("libraries:\n");
    printf("  MPI        %s\n", mpi);
#ifdef GRIDFOLD_GDAL
    printf("  GDAL       %s\n", GDALVersionInfo("RELEASE_NAME"));
#else
    printf("  GDAL       left out of this build: no import, synth and predict\n");
#endif
    printf("  GSL        %s\n", gsl_version);
    printf("  jansson    %s\n", jansson_version_str());
}

static void print_machine(void) {
    char line[512], model[512] = "unknown";
    FILE *f = fopen("/proc/cpuinfo", "re");
    while (f && fgets(line, sizeof line, f)) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon)
            continue;
        snprintf(model, sizeof model, "%s", colon + 1 + strspn(colon + 1, " "));
        model[strcspn(model, "\n")] = '\0';
        break;
    }
    if (f)
        fclose(f);
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    double memory = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    printf("machine: %s\n  CPU        %s\n  cores      %ld\n  memory     %.1f GiB\n", host, model,
           sysconf(_SC_NPROCESSORS_ONLN), memory / (1024.0 * 1024 * 1024));
}

enum status verb_info(int argc, char **argv, int *exit_code, struct error *err) {
    (void)exit_code;
    struct options o;
    TRY(options_parse(argc, argv, NULL, 0, &o, err));
    TRY(options_expect(&o, 0, "no words", err));
    printf("gridfold " GRIDFOLD_VERSION "\nbuild: " GRIDFOLD_BUILD "\n");
    print_backends();
    print_libraries();
    print_machine();
    return STATUS_OK;
}
