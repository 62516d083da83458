# Flags that every target of ours has, and the two helpers that declare one.
set(GRIDFOLD_WARNINGS -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla)
set(GRIDFOLD_CXX_WARNINGS -Wall -Wextra -Wshadow)

function(gridfold_flags target)
    target_compile_options(${target} PRIVATE
        $<$<COMPILE_LANGUAGE:C>:${GRIDFOLD_WARNINGS}>
        $<$<COMPILE_LANGUAGE:CXX>:${GRIDFOLD_CXX_WARNINGS}>
        $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra>
        $<$<BOOL:${GRIDFOLD_WERROR}>:$<IF:$<COMPILE_LANGUAGE:CUDA>,-Werror=all-warnings,-Werror>>)
    target_compile_definitions(${target} PRIVATE _GNU_SOURCE)
    target_include_directories(${target} PUBLIC ${PROJECT_SOURCE_DIR})
    if(GRIDFOLD_SANITIZE)
        target_compile_options(${target} PUBLIC -fsanitize=address,undefined -fno-omit-frame-pointer
                                                -fno-sanitize-recover=undefined)
        target_link_options(${target} PUBLIC -fsanitize=address,undefined)
    endif()
endfunction()

# gridfold_library(NAME SOURCES... [PUBLIC libs...] [PRIVATE libs...])
function(gridfold_library name)
    cmake_parse_arguments(ARG "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
    add_library(${name} STATIC ${ARG_SOURCES})
    gridfold_flags(${name})
    target_link_libraries(${name} PUBLIC ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE} m)
endfunction()

# gridfold_wrap(NAME FUNCTION...): calls of these functions from other files go to __wrap_<function> of the program, which may call __real_<function>.
function(gridfold_wrap name)
    foreach(function ${ARGN})
        target_link_options(${name} PRIVATE LINKER:--wrap=${function})
    endforeach()
endfunction()

# gridfold_test(NAME SOURCES... LIBS libs... LABELS labels... [TIMEOUT s] [ENV K=V ...]): one cmocka binary, one ctest entry.
function(gridfold_test name)
    cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;LIBS;LABELS;ENV" ${ARGN})
    add_executable(${name} ${ARG_SOURCES})
    gridfold_flags(${name})
    target_link_libraries(${name} PRIVATE ${ARG_LIBS} PkgConfig::CMOCKA m)
    target_compile_definitions(${name} PRIVATE TEST_SOURCE_DIR="${PROJECT_SOURCE_DIR}/tests")
    add_test(NAME ${name} COMMAND ${name})
    if(NOT ARG_TIMEOUT)
        set(ARG_TIMEOUT 300)
    endif()
    # Tests run side by side: an OpenMP thread that spins would take its neighbour's core.
    set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT}
                                            ENVIRONMENT "OMP_WAIT_POLICY=passive;${ARG_ENV}")
endfunction()
