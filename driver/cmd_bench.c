/* driver/cmd_bench.c: weft bench: how fast an entry is, beside what the machine can do. */
#include "driver/measure.h"
#include "driver/peak.h"
#include "driver/progress.h"
#include "passes/cost.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const struct run_count wanted = {11, 1.5};

/* ---- the peak beside it ---- */

/* An FMA loop on every thread at once, between two runs: the best is what the machine gave in that time. */
struct peaks {
    const weft_exec *exec;
    double of_task[1024];
    double best; /* GFLOP/s of all threads */
};

static void peak_body(void *data, int64_t task, int32_t worker) {
    (void)worker;
    ((struct peaks *)data)->of_task[task] = peak_gflops();
}

static void measure_peak(void *context) {
    struct peaks *p = context;
    int width = p->exec->width > 1024 ? 1024 : p->exec->width;
    double sum = 0;
    p->exec->parallel_for(p->exec->context, peak_body, p, width);
    for (int i = 0; i < width; i++)
        sum += p->of_task[i];
    p->best = sum > p->best ? sum : p->best;
}

/* ---- what was found ---- */

struct figures {
    double median, low, high; /* seconds; the quartiles */
    int runs, threads;
    struct cost cost;
    double peak;                             /* GFLOP/s */
    double arena, weights, packed, resident; /* bytes; packed: of the weights block, behind the tensors */
};

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The most that the process has had in memory, in bytes; 0: the system does not say. */
static double resident_bytes(void) {
    FILE *file = fopen("/proc/self/status", "re");
    char line[256];
    double kilobytes = 0;
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, "VmHWM:", 6) == 0)
            kilobytes = strtod(line + 6, NULL);
    if (file)
        fclose(file);
    return 1024 * kilobytes;
}

static bool measure(struct measured *m, struct figures *f) {
    struct peaks peaks = {.exec = weft_pool_exec(m->session.pool)};
    measure_peak(&peaks);
    double *times = measured_calls(m, wanted, measure_peak, &peaks, &f->runs);
    if (!times)
        return false;
    qsort(times, (size_t)f->runs, sizeof *times, by_size);
    f->median = times[f->runs / 2];
    f->low = times[f->runs / 4];
    f->high = times[3 * f->runs / 4];
    f->threads = peaks.exec->width;
    f->cost = cost_of_block(measured_function(m)->body);
    f->peak = peaks.best;
    f->arena = (double)m->program->entries[0].plan->arena_bytes;
    f->weights = (double)m->program->plan->weights_bytes;
    f->packed = (double)m->memory.weights_bytes - f->weights;
    f->resident = resident_bytes();
    return true;
}

/* Three digits and a unit: "12.3 MB". */
static const char *scaled(struct arena *arena, double value, double step, const char *const *units) {
    int i = 0;
    for (; value >= 1000 && units[i + 1]; i++)
        value /= step;
    int digits = value < 10 ? 2 : value < 100 ? 1 : 0;
    return arena_printf(arena, "%.*f %s", i || digits < 2 ? digits : 0, value, units[i]);
}

static const char *bytes_text(struct arena *arena, double bytes) {
    static const char *const units[] = {"B", "KB", "MB", "GB", "TB", NULL};
    return scaled(arena, bytes, 1024, units);
}

static void print_text(const struct measured *m, const struct figures *f) {
    struct arena *arena = m->session.arena;
    double gflops = 1e-9 * f->cost.flops / f->median;
    printf("%s, %d thread%s\n", measured_name(m), f->threads, f->threads == 1 ? "" : "s");
    printf("  time    %10.3f ms   quartiles %.3f .. %.3f, %d runs\n", 1e3 * f->median, 1e3 * f->low,
           1e3 * f->high, f->runs);
    printf("  work    %10.3f GFLOP, %.1f GFLOP/s: %.1f %% of the %.1f GFLOP/s of an FMA loop beside it\n",
           1e-9 * f->cost.flops, gflops, 100 * gflops / f->peak, f->peak);
    printf("  traffic %10.3f GB, %.1f GB/s\n", 1e-9 * f->cost.bytes, 1e-9 * f->cost.bytes / f->median);
    const char *packed =
        f->packed > 0 ? arena_printf(arena, ", packed %s", bytes_text(arena, f->packed)) : "";
    printf("  memory  arena %s, weights %s%s, resident %s at most\n", bytes_text(arena, f->arena),
           bytes_text(arena, f->weights), packed, bytes_text(arena, f->resident));
}

static void print_json(const struct measured *m, const struct figures *f) {
    printf("{\"entry\":\"%s\",\"threads\":%d,\"runs\":%d,\"seconds\":%.9g,\"low\":%.9g,\"high\":%.9g,"
           "\"flops\":%.0f,\"bytes\":%.0f,"
           "\"gflops\":%.6g,\"peak_gflops\":%.6g,\"part_of_peak\":%.4g,\"gbytes\":%.6g,\"arena\":%.0f,"
           "\"weights\":%.0f,\"packed\":%.0f,\"resident\":%.0f}\n",
           m->program->entries[0].name, f->threads, f->runs, f->median, f->low, f->high, f->cost.flops,
           f->cost.bytes, 1e-9 * f->cost.flops / f->median, f->peak,
           1e-9 * f->cost.flops / f->median / f->peak, 1e-9 * f->cost.bytes / f->median, f->arena, f->weights,
           f->packed, f->resident);
}

enum exit_status command_bench(struct invocation *invocation) {
    struct measured m;
    struct figures figures;
    enum exit_status status = measured_open(&m, invocation, false);
    if (status != EXIT_OK)
        return status;
    bool ok = measured_prepare(&m) && measure(&m, &figures);
    if (ok)
        (m.session.json ? print_json : print_text)(&m, &figures);
    measured_close(&m);
    return session_finish(&m.session, ok);
}
