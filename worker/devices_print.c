#include <inttypes.h>

#include "worker/devices.h"

enum status devices_print(bool memory, FILE *out, struct error *err) {
    struct backend_device found[DEVICES_MAX];
    int count;
    TRY(backend_devices(memory, found, DEVICES_MAX, &count, err));
    for (int i = 0; i < count; i++)
        fprintf(out, "%s\t%zu\t%zu\t%s\n", found[i].id, found[i].bytes, found[i].free_bytes, found[i].name);
    return STATUS_OK;
}
