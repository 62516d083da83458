#include <dirent.h>
#include <string.h>

#include "model/base/file.h"
#include "orchestrator/verbs.h"
#include "worker/dataset/geotiff.h"

static const struct option_spec specs[] = {
    {"samples", "N", "53", "tiles in all"},
    {"test", "N", "8", "of these held out"},
    {"seed", "N", "42", "same seed, same pixels"},
};
const struct verb_options verb_synth_options = {specs, sizeof specs / sizeof *specs};

static bool is_synth_entry(const char *name) {
    static const char *const own[] = {".", "..", "sentinel", "masks", "splits", "dataset.ini"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (strcmp(name, own[i]) == 0)
            return true;
    return false;
}

// A folder that holds anything but such a tree is somebody's, and stays as it is.
static enum status check_folder(const char *folder, struct error *err) {
    DIR *d = opendir(folder);
    if (!d)
        return file_exists(folder) ? error_set(err, STATUS_INVALID, "%s is not a folder; give another name", folder)
                                   : STATUS_OK;
    enum status status = STATUS_OK;
    for (const struct dirent *e; status == STATUS_OK && (e = readdir(d));)
        if (!is_synth_entry(e->d_name))
            status = error_set(err, STATUS_INVALID,
                               "%s holds '%s', which is not part of a synthetic dataset; give an empty or new folder",
                               folder, e->d_name);
    closedir(d);
    return status;
}

enum status verb_synth(int argc, char **argv, int *exit_code, struct error *err) {
    (void)exit_code;
    struct options o;
    long long samples = 0, test = 0, seed = 0;
    TRY(options_parse(argc, argv, specs, sizeof specs / sizeof *specs, &o, err));
    TRY(options_expect(&o, 1, "DIR", err));
    TRY(options_integer(&o, "samples", 1, 100000, &samples, err));
    TRY(options_integer(&o, "test", 0, samples - 1, &test, err));
    TRY(options_integer(&o, "seed", 0, INT64_MAX, &seed, err));
    TRY(check_folder(o.positional[0], err));
    struct synth_config config = {.samples = (int)samples, .test = (int)test, .seed = (uint64_t)seed};
    TRY(dataset_synthesize(o.positional[0], &config, err));
    printf("%s: %lld synthetic tiles, %lld of them held out\n", o.positional[0], samples, test);
    return STATUS_OK;
}
