// The lock of a run folder: one master at a time, on this host or another.
//
// What is relied on: flock(2), which a dead holder does not keep. Linux passes it on to an NFS server; Lustre needs the
// mount option flock, and some file systems have none or keep it to one host. Therefore the holder also writes a beat
// into the file every two seconds. Who comes upon a beat of another host, or has no flock, watches for ten seconds
// whether it goes on, and refuses then; and a holder that finds another's beat in its file, or its file gone, says so.
// Rank 0; one thread.
#ifndef GRIDFOLD_ORCHESTRATOR_RUN_LOCK_H
#define GRIDFOLD_ORCHESTRATOR_RUN_LOCK_H

#include "model/base/file.h"

typedef struct run_lock run_lock;

// Takes FOLDER/lock. STATUS_LOST: another process holds it; the message says which.
NODISCARD enum status run_lock_take(const char *folder, run_lock **lock, struct error *err);
// Gives it back; NULL is fine.
void run_lock_release(run_lock *lock);

// To be called now and then; looks every two seconds. STATUS_LOST: another has taken the folder. STATUS_IO: the folder
// is gone, or its file system is. In both cases nothing more must be written there.
NODISCARD enum status run_lock_check(run_lock *lock, double now, struct error *err);

#endif
