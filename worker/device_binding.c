#include "worker/device_binding.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool device_binding_choose(const char *visible, int devices, int local_rank, char *out, size_t size) {
    int count = devices;
    if (visible) {
        count = *visible ? 1 : 0;
        for (const char *c = visible; *c; c++)
            count += *c == ',';
    }
    if (count < 2 || local_rank < 0)
        return false;
    int index = local_rank % count;
    if (!visible)
        return snprintf(out, size, "%d", index) < (int)size;
    for (; index > 0; index--)
        visible = strchr(visible, ',') + 1;
    return snprintf(out, size, "%.*s", (int)strcspn(visible, ","), visible) < (int)size;
}

static int count_devices(void) {
    DIR *folder = opendir("/proc/driver/nvidia/gpus");
    int count = 0;
    for (struct dirent *e; folder && (e = readdir(folder));)
        count += e->d_name[0] != '.';
    if (folder)
        closedir(folder);
    return count;
}

void device_binding_apply(void) {
    const char *rank = getenv("OMPI_COMM_WORLD_LOCAL_RANK");
    char device[64]; // "3", "GPU-<uuid>", "MIG-<uuid>"
    if (!rank)
        rank = getenv("SLURM_LOCALID");
    if (rank && device_binding_choose(getenv("CUDA_VISIBLE_DEVICES"), count_devices(), (int)strtol(rank, NULL, 10),
                                      device, sizeof device))
        setenv("CUDA_VISIBLE_DEVICES", device, 1);
}
