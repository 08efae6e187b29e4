/* One step of a model: ONNX Runtime through its C API beside compiled C, taking turns.

       bench_c ORT_LIBRARY MODEL.onnx WIDTH UNITS INPUTS OUTPUTS LIBRARY.so...

   INPUTS and OUTPUTS are names joined by commas, first the sequence, then the states. Prints the
   best nanoseconds of a step: ONNX Runtime's, then each library's (model_reset, model_step). */
#define _POSIX_C_SOURCE 200809L
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST = 8, ROUNDS = 25, FLOATS = 1 << 16 };

/* Places in OrtApi, which only ever grows at its end. */
enum { CREATE_ENV = 3, CREATE_SESSION = 7, RUN = 9, CREATE_OPTIONS = 10, SET_THREADS = 24,
       CREATE_TENSOR = 49, CREATE_MEMORY = 69 };

typedef struct { const void *(*get_api)(uint32_t version); } api_base;
typedef void *status;
typedef status (*create_env)(int, const char *, void **);
typedef status (*create_options)(void **);
typedef status (*set_threads)(void *, int);
typedef status (*create_session)(void *, const char *, void *, void **);
typedef status (*create_memory)(int, int, void **);
typedef status (*create_tensor)(void *, void *, size_t, const int64_t *, size_t, int, void **);
typedef status (*run_session)(void *, const void *, const char *const *, void *const *, size_t,
                              const char *const *, size_t, void **);

static void **api;
static void *session, *ins[MOST], *outs[MOST];
static const char *in_names[MOST], *out_names[MOST];
static size_t in_count, out_count;
static float places[2 * MOST][4096];

typedef struct { void (*reset)(void *); int (*step)(void *, const float *, float *); } compiled;
static compiled models[MOST];
static float states[MOST][FLOATS], x[4096], y[4096];

static void must(status failed)
{
    if (failed != NULL) {
        fprintf(stderr, "ONNX Runtime failed\n");
        exit(1);
    }
}

static size_t split(char *text, const char **names)
{
    size_t count = 0;
    char *part;
    for (part = strtok(text, ","); part != NULL; part = strtok(NULL, ",")) {
        names[count++] = part;
    }
    return count;
}

static void *tensor(void *memory, float *place, int64_t width, int is_state)
{
    int64_t of_step[3] = {1, 1, 0}, of_state[2] = {1, 0};
    void *value = NULL;
    of_step[2] = of_state[1] = width;
    must(((create_tensor)api[CREATE_TENSOR])(memory, place, (size_t)width * sizeof(float),
                                             is_state ? of_state : of_step, is_state ? 2 : 3, 1,
                                             &value));
    return value;
}

static void open_session(const char *library, const char *model, int64_t width, int64_t units)
{
    void *loaded = dlopen(library, RTLD_NOW), *env, *options, *memory;
    const api_base *(*get)(void);
    size_t i;
    if (loaded == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    *(void **)&get = dlsym(loaded, "OrtGetApiBase");
    api = (void **)get()->get_api(17);
    must(((create_env)api[CREATE_ENV])(3, "bench", &env));
    must(((create_options)api[CREATE_OPTIONS])(&options));
    must(((set_threads)api[SET_THREADS])(options, 1));
    must(((create_session)api[CREATE_SESSION])(env, model, options, &session));
    must(((create_memory)api[CREATE_MEMORY])(0, 0, &memory));
    for (i = 0; i < in_count; i++) {
        ins[i] = tensor(memory, places[i], i == 0 ? width : units, i != 0);
    }
    for (i = 0; i < out_count; i++) {
        outs[i] = tensor(memory, places[MOST + i], units, i != 0);
    }
}

static void ort_step(void)
{
    must(((run_session)api[RUN])(session, NULL, in_names, ins, in_count, out_names, out_count, outs));
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double timed(int which, int count)
{
    double begin = seconds();
    int i;
    for (i = 0; i < count; i++) {
        if (which == 0) {
            ort_step();
        } else {
            models[which - 1].step(states[which - 1], x, y);
        }
    }
    return (seconds() - begin) / count;
}

int main(int argc, char **argv)
{
    int libraries = argc - 7, counts[MOST + 1], i, round;
    double best[MOST + 1];
    in_count = split(argv[5], in_names);
    out_count = split(argv[6], out_names);
    open_session(argv[1], argv[2], atol(argv[3]), atol(argv[4]));
    for (i = 0; i < 4096; i++) {
        x[i] = (float)(i % 7) / 3.5f - 1.0f;
        places[0][i] = x[i];
    }
    for (i = 0; i < libraries; i++) {
        void *loaded = dlopen(argv[7 + i], RTLD_NOW | RTLD_LOCAL);
        *(void **)&models[i].reset = dlsym(loaded, "model_reset");
        *(void **)&models[i].step = dlsym(loaded, "model_step");
        models[i].reset(states[i]);
    }
    for (i = 0; i <= libraries; i++) {
        for (counts[i] = 8; timed(i, counts[i]) * counts[i] < 1e-3; counts[i] *= 2) {
        }
        best[i] = 1.0;
    }
    for (round = 0; round < ROUNDS; round++) {
        for (i = 0; i <= libraries; i++) {
            double now = timed(i, counts[i]);
            best[i] = now < best[i] ? now : best[i];
        }
    }
    for (i = 0; i <= libraries; i++) {
        printf("%.1f ", 1e9 * best[i]);
    }
    printf("\n");
    return 0;
}
