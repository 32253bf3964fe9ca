/* tests/runtime/support.h: a folder for the files of a test, and bytes in it. */
#ifndef TESTS_RUNTIME_SUPPORT_H
#define TESTS_RUNTIME_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

int folder_set_up(void **state);                             /* *state: the path of a new folder */
int folder_tear_down(void **state);                          /* removes it with all that is in it */
const char *in_folder(const char *folder, const char *name); /* valid until the fourth call after it */
void put_file(const char *path, const void *bytes, size_t size);
unsigned char *get_file(const char *path, size_t *size); /* malloc'ed */
int count_files(const char *folder);

#define FOLDER_TEST(f) cmocka_unit_test_setup_teardown(f, folder_set_up, folder_tear_down)

/* Reads the file cut after each of its bytes, and with each byte changed, and calls read, which must return
 * false for every cut one and must survive every changed one. */
void assert_cut_is_refused(const char *path, bool (*read)(const char *path));

struct weft_dataset_options;
struct weft_dataset *
dataset_opened(const struct weft_dataset_options *options); /* fails the test otherwise */
void dataset_refused(const struct weft_dataset_options *options,
                     const char *why); /* with a message that has `why` */

#endif
