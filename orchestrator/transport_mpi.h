// Messages between ranks over MPI, without a call that can wait for ever.
//
// Sends are MPI_Isend from buffers that are kept until MPI_Test lets go of them; only what MPI_Iprobe has seen is
// received. All calls come from the thread that called transport_mpi_begin (MPI_THREAD_FUNNELED). Rank 0 is the master,
// the others are workers.
#ifndef GRIDFOLD_ORCHESTRATOR_TRANSPORT_MPI_H
#define GRIDFOLD_ORCHESTRATOR_TRANSPORT_MPI_H

#include "orchestrator/transport.h"

typedef struct transport_mpi transport_mpi;

// The environment says that a launcher (mpirun, srun) has started this process as one of several.
bool transport_mpi_is_launched(void);

// MPI_Init; *rank and *size of the job.
NODISCARD enum status transport_mpi_begin(transport_mpi **mpi, int *rank, int *size, struct error *err);
// Everyone has said goodbye (`together`): MPI_Finalize. Otherwise the job is aborted with `code`, as MPI_Finalize would
// wait for those who are not there; does not return then.
void transport_mpi_end(transport_mpi *mpi, bool together, int code);

// Rank 0.
struct transport transport_mpi_master(transport_mpi *mpi);

// Any other rank: serves until the master says bye, falls silent, or *leave becomes non-zero (a signal). Returns the
// job's exit code.
int transport_mpi_serve(transport_mpi *mpi, const struct station_config *config, const volatile int *leave);

#endif
