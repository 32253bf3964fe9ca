#include "runtime/pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { MOST_TASKS = 1000 };

struct record {
    atomic_int runs[MOST_TASKS];
    int worker[MOST_TASKS];
    const weft_exec *exec;
};

static void note(void *data, int64_t task, int32_t worker) {
    struct record *r = data;
    atomic_fetch_add(&r->runs[task], 1);
    r->worker[task] = worker;
}

static void every_task_runs_once(void **state) {
    (void)state;
    for (int threads = 1; threads <= 5; threads++) {
        struct weft_pool *pool = weft_pool_create(threads, NULL);
        assert_non_null(pool);
        const weft_exec *exec = weft_pool_exec(pool);
        assert_int_equal(exec->width, threads);
        for (int64_t tasks = 0; tasks < MOST_TASKS; tasks = tasks * 2 + 1) {
            struct record r = {.exec = exec};
            exec->parallel_for(exec->context, note, &r, tasks);
            for (int64_t i = 0; i < MOST_TASKS; i++)
                assert_int_equal(r.runs[i], i < tasks);
            for (int64_t i = 0; i < tasks; i++)
                assert_in_range(r.worker[i], 0, threads - 1);
        }
        weft_pool_destroy(pool);
    }
}

static void nest(void *data, int64_t task, int32_t worker) {
    struct record *r = data;
    (void)worker;
    if (task < 10) {
        struct record inner = {.exec = r->exec};
        r->exec->parallel_for(r->exec->context, note, &inner, 50);
        for (int i = 0; i < 50; i++)
            if (inner.runs[i] == 1 && inner.worker[i] == 0)
                atomic_fetch_add(&r->runs[task], 1);
    }
}

static void a_call_inside_a_body_runs_there(void **state) {
    (void)state;
    struct weft_pool *pool = weft_pool_create(3, NULL);
    struct record r = {.exec = weft_pool_exec(pool)};
    r.exec->parallel_for(r.exec->context, nest, &r, 10);
    for (int i = 0; i < 10; i++)
        assert_int_equal(r.runs[i], 50);
    weft_pool_destroy(pool);
}

/* Short jobs in a row, with pauses in which the workers fall asleep: a lost wake-up would hang here. */
static void many_short_jobs(void **state) {
    (void)state;
    struct weft_pool *pool = weft_pool_create(2, NULL);
    const weft_exec *exec = weft_pool_exec(pool);
    struct record r = {.exec = exec};
    for (int i = 0; i < 3000; i++) {
        exec->parallel_for(exec->context, note, &r, 4);
        if (i % 100 == 0)
            usleep(300);
    }
    for (int i = 0; i < 4; i++)
        assert_int_equal(r.runs[i], 3000);
    weft_pool_destroy(pool);
}

/* The first task of all lasts until the others have run, half of which are of the same share. */
static void wait_for_others(void *data, int64_t task, int32_t worker) {
    struct record *r = data;
    note(data, task, worker);
    for (int i = 1; task == 0 && i < 100; i++)
        while (!atomic_load(&r->runs[i]))
            usleep(10);
}

static void who_is_idle_takes_tasks_of_others(void **state) {
    (void)state;
    struct weft_pool *pool = weft_pool_create(2, NULL);
    struct record r = {.exec = weft_pool_exec(pool)};
    r.exec->parallel_for(r.exec->context, wait_for_others, &r, 100);
    for (int i = 0; i < 100; i++)
        assert_int_equal(r.runs[i], 1);
    for (int i = 1; i < 50; i++) /* the rest of that share */
        assert_true(r.worker[i] != r.worker[0]);
    weft_pool_destroy(pool);
}

/* Jobs of many lengths, one right behind the other: a late worker must not take tasks of the next job for its
 * own. */
static void late_workers_claim_nothing_twice(void **state) {
    (void)state;
    struct weft_pool *pool = weft_pool_create(4, NULL);
    const weft_exec *exec = weft_pool_exec(pool);
    for (int i = 0; i < 20000; i++) {
        struct record r = {.exec = exec};
        int tasks = 2 + i * 7 % 13;
        exec->parallel_for(exec->context, note, &r, tasks);
        for (int k = 0; k < 16; k++)
            assert_int_equal(r.runs[k], k < tasks);
    }
    weft_pool_destroy(pool);
}

static void sizes_at_the_edge(void **state) {
    (void)state;
    struct weft_error error = {""};
    assert_null(weft_pool_create(1000000, &error));
    assert_string_equal(error.message, "1000000 threads: at most 1024 are possible");
    struct weft_pool *pool = weft_pool_create(0, &error);
    assert_true(weft_pool_exec(pool)->width >= 1);
    weft_pool_destroy(pool);
    weft_pool_destroy(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_task_runs_once),
        cmocka_unit_test(a_call_inside_a_body_runs_there),
        cmocka_unit_test(many_short_jobs),
        cmocka_unit_test(who_is_idle_takes_tasks_of_others),
        cmocka_unit_test(late_workers_claim_nothing_twice),
        cmocka_unit_test(sizes_at_the_edge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
