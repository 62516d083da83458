#include "orchestrator/verbs.h"
#include "worker/dataset/geotiff.h"

enum status verb_import(int argc, char **argv, int *exit_code, struct error *err) {
    (void)exit_code;
    struct options o;
    TRY(options_parse(argc, argv, NULL, 0, &o, err));
    TRY(options_expect(&o, 2, "DIR OUT.safetensors", err));
    TRY(dataset_import(o.positional[0], o.positional[1], stdout, err));
    printf("wrote %s\n", o.positional[1]);
    return STATUS_OK;
}
