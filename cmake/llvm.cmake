# Where LLVM 19 is, and what of it the module libweft_codegen.so is linked with.
#
# Note [LLVM inside]: the shared libLLVM has 130 MB, brings libz3, libxml2 and ICU along and takes 20 ms to open. Of the
# static libraries in the same package the linker takes what the C API's callers reach, two targets and the JIT: 47 MB,
# 4 ms. Where they are not installed, the shared library is taken.
find_program(LLVM_CONFIG NAMES llvm-config-19 PATHS /usr/lib/llvm-19/bin REQUIRED)

function(weft_ask_llvm result)
    execute_process(COMMAND ${LLVM_CONFIG} ${ARGN} OUTPUT_VARIABLE answer OUTPUT_STRIP_TRAILING_WHITESPACE
        ERROR_QUIET RESULT_VARIABLE failed)
    separate_arguments(answer)
    if(failed)
        set(answer "")
    endif()
    set(${result} ${answer} PARENT_SCOPE)
endfunction()

weft_ask_llvm(LLVM_INCLUDE_DIR --includedir)
weft_ask_llvm(LLVM_LIB_DIR --libdir)
find_library(LLVM_LIBRARY NAMES LLVM-19 PATHS ${LLVM_LIB_DIR} NO_DEFAULT_PATH REQUIRED)

# The archives, and of the libraries that they are made with those that these targets call.
function(weft_static_llvm result)
    weft_ask_llvm(archives --link-static --libfiles core orcjit perfjitevents passes x86 aarch64)
    foreach(library IN ITEMS zstd stdc++)
        string(MAKE_C_IDENTIFIER ${library} name)
        find_library(LLVM_NEEDS_${name} NAMES ${library} lib${library}.so.1 lib${library}.so.6)
        mark_as_advanced(LLVM_NEEDS_${name})
        list(APPEND needed ${LLVM_NEEDS_${name}})
    endforeach()
    set(missing "")
    foreach(file IN LISTS archives needed)
        if(NOT EXISTS ${file})
            set(missing ${file})
        endif()
    endforeach()
    if(archives AND NOT missing)
        set(${result} -Wl,--start-group ${archives} -Wl,--end-group ${needed} ZLIB::ZLIB PARENT_SCOPE)
    else()
        message(STATUS "LLVM's static libraries are not complete here: weft opens the shared one")
        set(${result} ${LLVM_LIBRARY} PARENT_SCOPE)
    endif()
endfunction()

option(WEFT_STATIC_LLVM "link the code generator with LLVM's static libraries" ON)
if(WEFT_STATIC_LLVM AND NOT WEFT_SANITIZE)
    weft_static_llvm(LLVM_MODULE_LIBRARIES)
else()
    set(LLVM_MODULE_LIBRARIES ${LLVM_LIBRARY})
endif()
