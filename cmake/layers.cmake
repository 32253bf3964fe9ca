# The layers. A folder NAME is the target weft_NAME; its headers are seen through the view build/include/NAME, which
# holds one symbolic link NAME -> the folder. Layers above write "NAME/x.h"; for those below the file does not exist.

# weft_layer(NAME [FOLDER folder] [USES layers...] [EXCEPT files...]): all folder/*.c as they come and go; none yet is fine.
function(weft_layer name)
    cmake_parse_arguments(L "" "FOLDER" "USES;EXCEPT" ${ARGN})
    if(NOT L_FOLDER)
        set(L_FOLDER ${name})
    endif()
    set(view ${CMAKE_BINARY_DIR}/include/${name})
    file(MAKE_DIRECTORY ${view})
    file(CREATE_LINK ${CMAKE_SOURCE_DIR}/${L_FOLDER} ${view}/${name} SYMBOLIC)
    file(GLOB files RELATIVE ${CMAKE_SOURCE_DIR} CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${L_FOLDER}/*.c)
    list(REMOVE_ITEM files ${L_EXCEPT} "")
    list(TRANSFORM L_USES PREPEND weft_)
    if(files)
        add_library(weft_${name} STATIC ${files})
        set(scope PUBLIC)
    else()
        add_library(weft_${name} INTERFACE)
        set(scope INTERFACE)
    endif()
    target_include_directories(weft_${name} ${scope} ${view})
    target_link_libraries(weft_${name} ${scope} ${L_USES})
endfunction()

function(weft_is_built name result)
    get_target_property(type weft_${name} TYPE)
    if(type STREQUAL "INTERFACE_LIBRARY")
        set(${result} FALSE PARENT_SCOPE)
    else()
        set(${result} TRUE PARENT_SCOPE)
    endif()
endfunction()

# Libraries of the system for one layer; its users link them and do not see their headers.
function(weft_link name)
    weft_is_built(${name} built)
    if(built)
        target_link_libraries(weft_${name} PRIVATE ${ARGN})
    endif()
endfunction()

function(weft_private_include name directory)
    weft_is_built(${name} built)
    if(built)
        target_include_directories(weft_${name} SYSTEM PRIVATE ${directory})
    endif()
endfunction()

# The part of runtime/ that is header-only and belongs to the ABI: visible to ir, codegen and driver.
function(weft_runtime_headers)
    set(view ${CMAKE_BINARY_DIR}/include/runtime_headers)
    file(MAKE_DIRECTORY ${view}/runtime)
    foreach(header weft.h philox.h)
        file(CREATE_LINK ${CMAKE_SOURCE_DIR}/runtime/${header} ${view}/runtime/${header} SYMBOLIC)
    endforeach()
    add_library(weft_runtime_headers INTERFACE)
    target_include_directories(weft_runtime_headers INTERFACE ${view})
endfunction()

# frontend/lexer.l and frontend/grammar.y, where they are: their products are included as "frontend/lexer.yy.h" and
# "frontend/grammar.tab.h" and are compiled with the warnings off that generated code cannot keep.
function(weft_parser name)
    weft_is_built(${name} built)
    if(NOT built)
        return()
    endif()
    set(out ${CMAKE_BINARY_DIR}/generated/${name})
    file(MAKE_DIRECTORY ${out})
    file(WRITE ${CMAKE_BINARY_DIR}/generated/.clang-tidy "Checks: '-*,misc-definitions-in-headers'\n")
    target_include_directories(weft_${name} PRIVATE ${CMAKE_BINARY_DIR}/generated)
    file(GLOB grammar CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${name}/grammar.y)
    file(GLOB lexer CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${name}/lexer.l)
    if(grammar)
        bison_target(grammar ${grammar} ${out}/grammar.tab.c DEFINES_FILE ${out}/grammar.tab.h COMPILE_FLAGS "-Wall -Werror")
    endif()
    if(lexer)
        flex_target(lexer ${lexer} ${out}/lexer.yy.c DEFINES_FILE ${out}/lexer.yy.h)
    endif()
    set(generated ${BISON_grammar_OUTPUTS} ${FLEX_lexer_OUTPUTS})
    if(generated)
        target_sources(weft_${name} PRIVATE ${generated})
        set_source_files_properties(${generated} PROPERTIES COMPILE_OPTIONS
            "-Wno-unused-function;-Wno-unused-but-set-variable;-Wno-sign-compare;-Wno-unused-parameter;-Wno-pedantic")
    endif()
endfunction()

# models/lib/**.weft as byte arrays, found through frontend/library.h.
function(weft_embedded_library name)
    file(GLOB_RECURSE texts CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/models/lib/*.weft)
    set(out ${CMAKE_BINARY_DIR}/generated/library.c)
    string(REPLACE ";" "|" joined "${texts}")
    # The list of names is an input too: a file that was removed leaves no newer input behind.
    file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/library.txt CONTENT "${joined}\n")
    add_custom_command(OUTPUT ${out}
        COMMAND ${CMAKE_COMMAND} -D FILES=${joined} -D OUT=${out} -P ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
        DEPENDS ${texts} ${CMAKE_BINARY_DIR}/generated/library.txt ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
        VERBATIM COMMENT "Embedding models/lib")
    add_library(weft_library STATIC ${out})
    target_include_directories(weft_library PRIVATE ${CMAKE_BINARY_DIR}/include/${name})
    weft_is_built(${name} built)
    if(built)
        target_link_libraries(weft_${name} PUBLIC weft_library)
    endif()
endfunction()

# runtime/weft.h as a string in codegen/: the headers of objects stand alone.
function(weft_embedded_abi name)
    set(out ${CMAKE_BINARY_DIR}/generated/weft_abi.c)
    add_custom_command(OUTPUT ${out}
        COMMAND ${CMAKE_COMMAND} -D FILE=${CMAKE_SOURCE_DIR}/runtime/weft.h -D NAME=weft_abi_text -D OUT=${out}
            -P ${CMAKE_SOURCE_DIR}/cmake/embed_text.cmake
        DEPENDS ${CMAKE_SOURCE_DIR}/runtime/weft.h ${CMAKE_SOURCE_DIR}/cmake/embed_text.cmake
        VERBATIM COMMENT "Embedding runtime/weft.h")
    target_sources(weft_${name} PRIVATE ${out})
endfunction()

# FOLDER/onnx.proto as C: "onnx/onnx.pb-c.h" is seen by whoever sees the layer.
function(weft_messages name folder)
    set(out ${CMAKE_BINARY_DIR}/generated/${name})
    file(MAKE_DIRECTORY ${out})
    add_custom_command(OUTPUT ${out}/${name}.pb-c.c ${out}/${name}.pb-c.h
        COMMAND ${PROTOC_C} --proto_path=${CMAKE_SOURCE_DIR}/${folder} --c_out=${out} ${name}.proto
        DEPENDS ${CMAKE_SOURCE_DIR}/${folder}/${name}.proto
        VERBATIM COMMENT "Generating the messages of ${name}")
    target_sources(weft_${name} PRIVATE ${out}/${name}.pb-c.c ${out}/${name}.pb-c.h)
    target_include_directories(weft_${name} PUBLIC ${CMAKE_BINARY_DIR}/generated)
    target_link_libraries(weft_${name} PUBLIC PkgConfig::PROTOBUF)
endfunction()

# Note [One copy of the compiler]: the module libweft_codegen.so holds codegen/ alone. What it calls of passes, ir and
# base it finds in the program that opened it, which therefore carries these layers whole and exports them. So there
# is one operator table and one set of interned types in a process, and the module needs no second copy.
function(weft_program)
    weft_is_built(codegen built)
    if(built)
        add_library(weft_codegen_module MODULE $<TARGET_OBJECTS:weft_codegen>)
        target_link_libraries(weft_codegen_module PRIVATE ${LLVM_MODULE_LIBRARIES} Threads::Threads ${CMAKE_DL_LIBS} m)
        set_target_properties(weft_codegen_module PROPERTIES OUTPUT_NAME weft_codegen
            LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
        target_link_options(weft_codegen_module PRIVATE
            -Wl,--version-script=${CMAKE_SOURCE_DIR}/cmake/codegen.map -Wl,--gc-sections -Wl,--as-needed)
        install(TARGETS weft_codegen_module LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/weft)
    endif()
    file(GLOB main CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/driver/main.c)
    if(NOT main)
        return()
    endif()
    add_executable(weft driver/main.c)
    foreach(layer passes ir base)
        weft_is_built(${layer} built)
        if(built)
            target_sources(weft PRIVATE $<TARGET_OBJECTS:weft_${layer}>)
        endif()
    endforeach()
    target_link_libraries(weft PRIVATE weft_driver)
    set_target_properties(weft PROPERTIES ENABLE_EXPORTS ON RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
    if(TARGET weft_codegen_module)
        add_dependencies(weft weft_codegen_module)
    endif()
    install(TARGETS weft RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
    weft_manual()
endfunction()

# Manual pages and the completion of shells: the program prints them from its tables (driver/manual.h).
function(weft_manual)
    set(out ${CMAKE_BINARY_DIR}/manual)
    file(STRINGS ${CMAKE_SOURCE_DIR}/driver/commands.def rows REGEX "^COMMAND")
    set(pages ${out}/man1/weft.1)
    set(lines COMMAND weft help --man > ${out}/man1/weft.1)
    foreach(row ${rows})
        string(REGEX REPLACE "^COMMAND.([a-z]+).*" "\\1" name "${row}")
        list(APPEND pages ${out}/man1/weft-${name}.1)
        list(APPEND lines COMMAND weft help --man-${name} > ${out}/man1/weft-${name}.1)
    endforeach()
    file(MAKE_DIRECTORY ${out}/man1)
    add_custom_command(OUTPUT ${pages} ${out}/weft ${out}/_weft ${lines}
        COMMAND weft help --bash > ${out}/weft
        COMMAND weft help --zsh > ${out}/_weft
        DEPENDS weft ${CMAKE_SOURCE_DIR}/driver/commands.def ${CMAKE_SOURCE_DIR}/driver/options.def
        COMMENT "Writing the manual")
    add_custom_target(weft_manual ALL DEPENDS ${pages} ${out}/weft ${out}/_weft)
    install(FILES ${pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
    install(FILES ${out}/weft DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
    install(FILES ${out}/_weft DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
endfunction()
