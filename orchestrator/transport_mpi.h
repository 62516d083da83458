// Messages between ranks over MPI, without a call that can wait for ever.
//
// Sends are MPI_Isend from buffers that are kept until MPI_Test lets go of them; receives are MPI_Imrecv of what
// MPI_Improbe has seen, and are whole when MPI_Test says so. MPI says nothing of a rank that dies: it falls silent, and
// what is sent to it is bounded. All calls come from the thread that called transport_mpi_begin
// (MPI_THREAD_FUNNELED). Rank 0 is the master, the others are workers. A rank whose parent (mpirun or its daemon) dies
// raises SIGTERM.
#ifndef GRIDFOLD_ORCHESTRATOR_TRANSPORT_MPI_H
#define GRIDFOLD_ORCHESTRATOR_TRANSPORT_MPI_H

#include "orchestrator/transport.h"

typedef struct transport_mpi transport_mpi;

// The environment says that a launcher (mpirun, srun) has started this process as one of several.
bool transport_mpi_is_launched(void);

// How long the ranks of a job may take to find each other: GRIDFOLD_START_SECONDS, else five minutes.
unsigned transport_mpi_start_seconds(void);
// MPI_Init; *rank and *size of the job. The process is left with 75 when the ranks do not find each other in that time:
// one of them is stopped, or its host is.
NODISCARD enum status transport_mpi_begin(transport_mpi **mpi, int *rank, int *size, struct error *err);
// Everyone has said goodbye (`together`): MPI_Finalize. Otherwise the job is aborted with `code`, as MPI_Finalize would
// wait for those who are not there; does not return then. Nor does it when MPI takes more than 10 seconds: the process
// is left with `code`.
void transport_mpi_end(transport_mpi *mpi, bool together, int code);

// Rank 0.
struct transport transport_mpi_master(transport_mpi *mpi);

// Set by signals, read by transport_mpi_serve.
struct transport_mpi_orders {
    const volatile int *stop;  // non-zero: the job is to make way; the master is asked to stop the sweep
    const volatile int *leave; // non-zero: this rank is about to be killed; it stops its trial and says bye
};

// Any other rank: serves until the master says bye. Returns the job's exit code; a worker whose master falls silent
// (for as long as its heartbeats said, 15 minutes before the first) leaves the process with 75.
int transport_mpi_serve(transport_mpi *mpi, const struct station_config *config,
                        const struct transport_mpi_orders *orders);

#endif
