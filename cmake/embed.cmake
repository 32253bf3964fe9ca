# cmake -D FILES=a|b -D OUT=library.c -P embed.cmake: the table of frontend/library.h. The bytes end with a zero that
# is not counted, so that a text can be read as a string.
string(REPLACE "|" ";" files "${FILES}")
set(arrays "")
set(rows "")
set(count 0)
foreach(file ${files})
    string(REGEX REPLACE ".*/models/lib/" "" name ${file}) # nn.weft, nn/layers.weft
    file(READ ${file} hex HEX)
    file(SIZE ${file} size)
    string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
    string(APPEND arrays "static const unsigned char file_${count}[] = {\n${bytes}0};\n")
    string(APPEND rows "    {\"${name}\", file_${count}, ${size}},\n")
    math(EXPR count "${count} + 1")
endforeach()
file(WRITE ${OUT} "#include \"frontend/library.h\"\n\n${arrays}
const struct library_file library_files[] = {
${rows}    {0, 0, 0},
};
const int library_file_count = ${count};
")
