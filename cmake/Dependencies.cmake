# Every library that gridfold links, found once. docs/architecture.md says why each is here.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS C)
find_package(MPI REQUIRED COMPONENTS C)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(GSL REQUIRED IMPORTED_TARGET gsl)
pkg_check_modules(INIH REQUIRED IMPORTED_TARGET inih)

# libcsv ships neither a pkg-config file nor a CMake package.
find_path(LIBCSV_INCLUDE_DIR csv.h REQUIRED)
find_library(LIBCSV_LIBRARY csv REQUIRED)
add_library(gridfold_libcsv INTERFACE)
target_include_directories(gridfold_libcsv SYSTEM INTERFACE ${LIBCSV_INCLUDE_DIR})
target_link_libraries(gridfold_libcsv INTERFACE ${LIBCSV_LIBRARY})

if(GRIDFOLD_GDAL)
    find_package(GDAL REQUIRED)
endif()
if(GRIDFOLD_CUDA)
    find_package(CUDAToolkit 13 REQUIRED) # the runtime, linked statically
endif()
if(GRIDFOLD_ONEDNN)
    # Not find_package(dnnl): Debian's package file asks for OpenCL's headers, which nothing here needs.
    find_path(DNNL_INCLUDE_DIR dnnl.h REQUIRED)
    find_library(DNNL_LIBRARY dnnl REQUIRED)
    add_library(DNNL::dnnl INTERFACE IMPORTED)
    target_include_directories(DNNL::dnnl SYSTEM INTERFACE ${DNNL_INCLUDE_DIR})
    target_link_libraries(DNNL::dnnl INTERFACE ${DNNL_LIBRARY})
endif()
