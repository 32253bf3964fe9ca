/* frontend/library.h: the files of models/lib, embedded in the program by cmake/embed.cmake. */
#ifndef FRONTEND_LIBRARY_H
#define FRONTEND_LIBRARY_H

struct library_file {
    const char *name;           /* "nn.weft" */
    const unsigned char *bytes; /* a zero byte follows the last */
    unsigned length;
};

extern const struct library_file library_files[]; /* in the order of their names */
extern const int library_file_count;

#endif
