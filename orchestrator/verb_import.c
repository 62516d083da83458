#include <string.h>

#include "model/base/file.h"
#include "orchestrator/verbs.h"
#include "worker/dataset/geotiff.h"

// The folder of the dataset file, where the name has one.
static enum status make_folder_of(const char *file, struct error *err) {
    const char *slash = strrchr(file, '/');
    char folder[PATH_SIZE];
    if (!slash || slash == file)
        return STATUS_OK;
    if ((size_t)(slash - file) >= sizeof folder)
        return error_set(err, STATUS_INVALID, "OUT.safetensors is longer than %d bytes", PATH_SIZE - 1);
    snprintf(folder, sizeof folder, "%.*s", (int)(slash - file), file);
    return file_make_directories(folder, err);
}

enum status verb_import(int argc, char **argv, int *exit_code, struct error *err) {
    (void)exit_code;
    struct options o;
    TRY(options_parse(argc, argv, NULL, 0, &o, err));
    TRY(options_expect(&o, 2, "DIR OUT.safetensors", err));
    TRY(make_folder_of(o.positional[1], err));
    TRY(dataset_import(o.positional[0], o.positional[1], stdout, err));
    printf("wrote %s\n", o.positional[1]);
    return STATUS_OK;
}
