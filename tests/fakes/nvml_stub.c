/* A libnvidia-ml.so.1 without a driver. NVML_STUB names a file of `key=value` lines, read anew whenever it was replaced:
 *   init=CODE  driver=570.10  gpus=N
 *   N.FIELD=VALUE for GPU N; name uuid total used sm mem reasons temperature power utilization ecc mig xid
 *   N.processes=PID:BYTES,...  (BYTES of -1: not available; FIELD also: graphics, mps)   N.mig=UUID:TOTAL:USED,...
 *   N.FIELD.code=CODE: what a question for that field answers instead   N.code=CODE: what every question answers
 * Each Xid of N.xid (a list of codes) is told once to every event set. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef unsigned long long u64;
typedef struct { u64 total, free, used; } memory_t;
typedef struct { unsigned gpu, memory; } utilization_t;
typedef struct { unsigned pid; u64 memory; unsigned instance, compute; } process_t;
typedef struct { void *device; u64 type, data; unsigned instance, compute; } event_t;
typedef struct { long gpu; int told; } events_t;

enum { OK = 0, NOT_SUPPORTED = 3, NOT_FOUND = 6, SIZE = 7, TIMEOUT = 10 };
#define PART 1000 /* the handle of part P of GPU N is (N + 1) * PART + P + 1, that of the GPU N + 1 */

static char text[1 << 16];
static struct stat seen;

static void refresh(void) {
    const char *path = getenv("NVML_STUB");
    struct stat now;
    if (!path || stat(path, &now)) return;
    if (now.st_ino == seen.st_ino && now.st_mtim.tv_nsec == seen.st_mtim.tv_nsec && now.st_mtim.tv_sec == seen.st_mtim.tv_sec) return;
    FILE *file = fopen(path, "r");
    if (!file) return;
    text[0] = '\n';
    text[1 + fread(text + 1, 1, sizeof text - 2, file)] = 0;
    fclose(file);
    seen = now;
}

/* The text behind `\nkey=`, up to the end of the line, in `out`. */
static int find(const char *key, char *out, size_t size) {
    char wanted[160];
    refresh();
    snprintf(wanted, sizeof wanted, "\n%s=", key);
    const char *at = strstr(text, wanted);
    if (!at) return 0;
    at += strlen(wanted);
    size_t length = strcspn(at, "\n");
    if (length >= size) length = size - 1;
    memcpy(out, at, length);
    out[length] = 0;
    return 1;
}

static u64 number(const char *key, u64 otherwise) {
    char out[64];
    return find(key, out, sizeof out) ? strtoull(out, NULL, 0) : otherwise;
}

static long gpu_of(void *handle) { long at = (long)handle; return at >= PART ? at / PART - 1 : at - 1; }
static long part_of(void *handle) { long at = (long)handle; return at >= PART ? at % PART - 1 : -1; }

static const char *name_of(void *handle, const char *field) {
    static __thread char key[128];
    snprintf(key, sizeof key, "%ld.%s", gpu_of(handle), field);
    return key;
}

static int code_of(void *handle, const char *field) {
    char code[160];
    int all = (int)number(name_of(handle, "code"), 0);
    snprintf(code, sizeof code, "%s.code", field);
    return all ? all : (int)number(name_of(handle, code), 0);
}

#define ANSWER(field) do { int code = code_of(device, field); if (code) return code; } while (0)

static int part(long gpu, long index, char *uuid, u64 *total, u64 *used) {
    char list[2048], key[64];
    snprintf(key, sizeof key, "%ld.mig", gpu);
    if (!find(key, list, sizeof list)) return 0;
    char *rest = list;
    for (char *one; (one = strtok_r(rest, ",", &rest)); index--)
        if (index == 0) return sscanf(one, "%95[^:]:%llu:%llu", uuid, total, used) == 3;
    return 0;
}

int nvmlInitWithFlags(unsigned flags) { (void)flags; return (int)number("init", 0); }
int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int code) { (void)code; return "planted"; }
int nvmlSystemGetDriverVersion(char *out, unsigned size) { if (!find("driver", out, size)) snprintf(out, size, "570.10"); return (int)number("driver.code", 0); }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = (unsigned)number("gpus", 1); return OK; }

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {
    void *device = *handle = (void *)(long)(index + 1);
    ANSWER("handle");
    return OK;
}

int nvmlDeviceGetUUID(void *device, char *out, unsigned size) {
    u64 total, used;
    char uuid[96];
    ANSWER("uuid");
    if (part_of(device) >= 0) {
        if (!part(gpu_of(device), part_of(device), uuid, &total, &used)) return NOT_FOUND;
        snprintf(out, size, "%s", uuid);
    } else if (!find(name_of(device, "uuid"), out, size)) {
        snprintf(out, size, "GPU-%ld", gpu_of(device));
    }
    return OK;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, void **handle) {
    char found[96];
    u64 total, used;
    for (long gpu = 0; gpu < (long)number("gpus", 1); gpu++) {
        void *device = (void *)(gpu + 1);
        if (nvmlDeviceGetUUID(device, found, sizeof found) == OK && !strcmp(found, uuid)) { *handle = device; ANSWER("handle"); return OK; }
        for (long index = 0; part(gpu, index, found, &total, &used); index++)
            if (!strcmp(found, uuid)) { *handle = (void *)((gpu + 1) * PART + index + 1); return OK; }
    }
    return NOT_FOUND;
}

int nvmlDeviceGetName(void *device, char *out, unsigned size) {
    if (!find(name_of(device, "name"), out, size)) snprintf(out, size, "NVIDIA Stub 80GB");
    return OK;
}

int nvmlDeviceGetMigMode(void *device, unsigned *current, unsigned *pending) {
    char list[8];
    ANSWER("migmode");
    *current = *pending = (unsigned)find(name_of(device, "mig"), list, sizeof list);
    return OK;
}

int nvmlDeviceGetMaxMigDeviceCount(void *device, unsigned *count) { (void)device; *count = 7; return OK; }

int nvmlDeviceGetMigDeviceHandleByIndex(void *device, unsigned index, void **handle) {
    char uuid[96];
    u64 total, used;
    if (!part(gpu_of(device), index, uuid, &total, &used)) return NOT_FOUND;
    *handle = (void *)((gpu_of(device) + 1) * PART + (long)index + 1);
    return OK;
}

int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(void *device, void **gpu) { *gpu = (void *)(gpu_of(device) + 1); return OK; }

int nvmlDeviceGetMemoryInfo(void *device, memory_t *memory) {
    char uuid[96];
    ANSWER("memory");
    if (part_of(device) >= 0) {
        if (!part(gpu_of(device), part_of(device), uuid, &memory->total, &memory->used)) return NOT_FOUND;
    } else {
        memory->total = number(name_of(device, "total"), 80ULL << 30);
        memory->used = number(name_of(device, "used"), 500ULL << 20);
    }
    memory->free = memory->total - memory->used;
    return OK;
}

int nvmlDeviceGetClockInfo(void *device, int type, unsigned *clock) {
    const char *field = type == 1 ? "sm" : "mem";
    ANSWER(field);
    *clock = (unsigned)number(name_of(device, field), type == 1 ? 1980 : 2619);
    return OK;
}

int nvmlDeviceGetCurrentClocksEventReasons(void *device, u64 *reasons) {
    ANSWER("reasons");
    *reasons = number(name_of(device, "reasons"), 0);
    return OK;
}

int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *celsius) {
    (void)sensor;
    ANSWER("temperature");
    *celsius = (unsigned)number(name_of(device, "temperature"), 55);
    return OK;
}

int nvmlDeviceGetPowerUsage(void *device, unsigned *milliwatt) {
    ANSWER("power");
    *milliwatt = (unsigned)number(name_of(device, "power"), 300000);
    return OK;
}

int nvmlDeviceGetUtilizationRates(void *device, utilization_t *rates) {
    ANSWER("utilization");
    if (part_of(device) >= 0) return NOT_SUPPORTED;
    rates->gpu = (unsigned)number(name_of(device, "utilization"), 90);
    rates->memory = 0;
    return OK;
}

int nvmlDeviceGetTotalEccErrors(void *device, int type, int counter, u64 *count) {
    (void)type; (void)counter;
    ANSWER("ecc");
    *count = number(name_of(device, "ecc"), 0);
    return OK;
}

static int listed(void *device, const char *field, unsigned *count, process_t *out) {
    char list[2048];
    unsigned found = 0;
    ANSWER(field);
    if (find(name_of(device, field), list, sizeof list)) {
        char *rest = list;
        for (char *one; (one = strtok_r(rest, ",", &rest)); found++)
            if (found < *count) {
                char *memory = strchr(one, ':');
                process_t process = {(unsigned)strtoul(one, NULL, 10), (u64)strtoll(memory ? memory + 1 : "-1", NULL, 10), ~0u, ~0u};
                out[found] = process;
            }
    }
    int fits = found <= *count;
    *count = found;
    return fits ? OK : SIZE;
}

int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned *count, process_t *out) { return listed(device, "processes", count, out); }
int nvmlDeviceGetGraphicsRunningProcesses_v3(void *device, unsigned *count, process_t *out) { return listed(device, "graphics", count, out); }
int nvmlDeviceGetMPSComputeRunningProcesses_v3(void *device, unsigned *count, process_t *out) { return listed(device, "mps", count, out); }

int nvmlEventSetCreate(events_t **set) { *set = calloc(1, sizeof **set); return OK; }
int nvmlEventSetFree(events_t *set) { free(set); return OK; }

int nvmlDeviceRegisterEvents(void *device, u64 types, events_t *set) {
    (void)types;
    ANSWER("xid");
    set->gpu = gpu_of(device);
    return OK;
}

int nvmlEventSetWait_v2(events_t *set, event_t *event, unsigned timeout_ms) {
    (void)timeout_ms;
    char list[512];
    void *device = (void *)(set->gpu + 1);
    int number_of = 0;
    ANSWER("events");
    if (find(name_of(device, "xid"), list, sizeof list)) {
        char *rest = list;
        for (char *one; (one = strtok_r(rest, ",", &rest)); number_of++)
            if (number_of == set->told) {
                set->told++;
                event_t happened = {device, 8, strtoull(one, NULL, 10), ~0u, ~0u};
                *event = happened;
                return OK;
            }
    }
    return TIMEOUT;
}
