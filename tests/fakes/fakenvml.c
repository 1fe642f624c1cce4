/* A libnvidia-ml.so.1 for tests: nvidia-ml-py loads it through the dynamic linker, as it would NVIDIA's.
 *
 * What it answers stands in the file named by FAKENVML_STATE, one "key value" a line, read again at every call:
 *   init 0            return of nvmlInitWithFlags        count 2           GPUs listed
 *   G.bus 24          PCI bus number of GPU G            G.open 15         return of its handle's opening
 *   G.err 15          return of every call on it         G.hang_ms 500     delay of every call on it
 *   G.f185 640500     field value, G.f185.1 at scope 1   G.e185 999        return of one field
 *   G.t185 5          type of a field's value            G.batch 999       return of a call for many fields
 *   G.<name> 61       value of the call of that name     G.e<name> 999     its return
 *   xids 3            events so far, and then for each:  xid1 0 79         GPU and number of event 1
 * An absent key is "not supported". */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef DRIVER_VERSION
#define DRIVER_VERSION "570.86.10"
#endif

enum { OK = 0, INVALID = 2, NOT_SUPPORTED = 3, TIMEOUT = 10, MOST = 64 };
typedef struct { int index; } gpu_t;
typedef struct { uint32_t id, scope; int64_t time_us, latency_us; int32_t type, code; union { double d; uint64_t u; int64_t i; } value; } field_t;
typedef struct { gpu_t *device; uint64_t type, data; uint32_t gi, ci; } event_t;
typedef struct { char legacy[16]; uint32_t domain, bus, device, id, subsystem; char bus_id[32]; } pci_t;
typedef struct { uint32_t version; uint64_t total, reserved, free, used; } memory_t;

typedef struct { uint64_t total, free, used; } old_memory_t;
typedef struct { uint32_t version; int32_t sensor, celsius; } temperature_t;
typedef struct { uint32_t version; int32_t celsius; } margin_t;

static gpu_t gpus[MOST];
static long events_told = 0;

static int look(const char *key, char *value, size_t size) {
    const char *path = getenv("FAKENVML_STATE");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[256];
    int found = 0;
    while (file && !found && fgets(line, sizeof line, file)) {
        char *space = strchr(line, ' ');
        if (!space) continue;
        *space = 0;
        if (strcmp(line, key)) continue;
        space[1 + strcspn(space + 1, "\n")] = 0;
        snprintf(value, size, "%s", space + 1);
        found = 1;
    }
    if (file) fclose(file);
    return found;
}

static long long number(const char *key, long long otherwise) {
    char value[256];
    return look(key, value, sizeof value) ? strtoll(value, NULL, 0) : otherwise;
}

static long long of_gpu(const gpu_t *gpu, const char *prefix, const char *name, long long otherwise) {
    char key[96];
    snprintf(key, sizeof key, "%d.%s%s", gpu->index, prefix, name);
    return number(key, otherwise);
}

static int enter(const gpu_t *gpu) {
    long long hang_ms = of_gpu(gpu, "", "hang_ms", 0);
    if (hang_ms) usleep(hang_ms * 1000);
    return of_gpu(gpu, "", "err", OK);
}

static int give(const gpu_t *gpu, const char *name, long long *value) {
    char key[96], text[96];
    int code = enter(gpu);
    if (!code) code = of_gpu(gpu, "e", name, OK);
    if (code) return code;
    snprintf(key, sizeof key, "%d.%s", gpu->index, name);
    if (!look(key, text, sizeof text)) return NOT_SUPPORTED;
    *value = strtoll(text, NULL, 0);
    return OK;
}

static int give_text(const gpu_t *gpu, const char *name, char *out, unsigned size) {
    char key[96];
    int code = enter(gpu);
    snprintf(key, sizeof key, "%d.%s", gpu->index, name);
    return code ? code : look(key, out, size) ? OK : NOT_SUPPORTED;
}

static int give_u32(const gpu_t *gpu, const char *name, uint32_t *out) {
    long long value = 0;
    int code = give(gpu, name, &value);
    if (!code) *out = value;
    return code;
}

int nvmlInitWithFlags(unsigned flags) { (void)flags; puts("a library that talks on stdout"); fflush(stdout); return number("init", OK); }
int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int code) { (void)code; return "an error of the fake"; }
int nvmlSystemGetDriverVersion(char *out, unsigned size) { snprintf(out, size, DRIVER_VERSION); return OK; }
int nvmlDeviceGetCount_v2(uint32_t *out) { *out = number("count", 0); return number("err", OK); }

int nvmlDeviceGetHandleByIndex_v2(unsigned index, gpu_t **out) {
    if (index >= MOST) return INVALID;
    gpus[index].index = index;
    *out = &gpus[index];
    return of_gpu(&gpus[index], "", "open", OK);
}

int nvmlDeviceGetPciInfo_v3(gpu_t *gpu, pci_t *out) {
    memset(out, 0, sizeof *out);
    out->bus = of_gpu(gpu, "", "bus", gpu->index);
    return OK; /* the driver keeps the address of a lost GPU */
}

int nvmlDeviceGetName(gpu_t *g, char *out, unsigned n) { return give_text(g, "name", out, n); }
int nvmlDeviceGetUUID(gpu_t *g, char *out, unsigned n) { return give_text(g, "uuid", out, n); }
int nvmlDeviceGetSerial(gpu_t *g, char *out, unsigned n) { return give_text(g, "serial", out, n); }
int nvmlDeviceGetVbiosVersion(gpu_t *g, char *out, unsigned n) { return give_text(g, "vbios", out, n); }
int nvmlDeviceGetPersistenceMode(gpu_t *g, uint32_t *out) { return give_u32(g, "persistence", out); }
int nvmlDeviceGetPowerUsage(gpu_t *g, uint32_t *out) { return give_u32(g, "power", out); }
int nvmlDeviceGetEnforcedPowerLimit(gpu_t *g, uint32_t *out) { return give_u32(g, "limit", out); }
int nvmlDeviceGetClockInfo(gpu_t *g, int kind, uint32_t *out) { return kind == 1 ? give_u32(g, "clock", out) : INVALID; }
int nvmlDeviceGetCurrPcieLinkWidth(gpu_t *g, uint32_t *out) { return give_u32(g, "width", out); }
int nvmlDeviceGetNumFans(gpu_t *g, uint32_t *out) { return give_u32(g, "fans", out); }
int nvmlDeviceGetUtilizationRates(gpu_t *g, uint32_t *out) { return give_u32(g, "util", out); }

int nvmlDeviceGetFanSpeed_v2(gpu_t *g, unsigned fan, uint32_t *out) {
    int code = give_u32(g, "fan", out);
    if (!code) *out += fan;
    return code;
}

int nvmlDeviceGetMigMode(gpu_t *g, uint32_t *now, uint32_t *next) {
    int code = give_u32(g, "mig", now);
    *next = *now;
    return code;
}

#ifndef OLD_DRIVER
int nvmlDeviceGetTemperatureV(gpu_t *g, temperature_t *out) {
    return out->version == 0x100000C && out->sensor == 0 ? give_u32(g, "temp", (uint32_t *)&out->celsius) : 25;
}

int nvmlDeviceGetMarginTemperature(gpu_t *g, margin_t *out) {
    return out->version == 0x1000008 ? give_u32(g, "margin", (uint32_t *)&out->celsius) : 25;
}

int nvmlDeviceGetMemoryInfo_v2(gpu_t *g, memory_t *out) {
    long long used = 0;
    int code = out->version == 0x02000028 ? give(g, "memory", &used) : 25;
    out->used = used;
    return code;
}
#endif

int nvmlDeviceGetTemperature(gpu_t *g, int sensor, uint32_t *out) { return sensor == 0 ? give_u32(g, "temp", out) : INVALID; }

int nvmlDeviceGetMemoryInfo(gpu_t *g, old_memory_t *out) {
    long long used = 0;
    int code = give(g, "memory", &used);
    out->used = used + (1 << 20); /* the first version counts the driver's reserve */
    return code;
}

int nvmlDeviceGetNvLinkState(gpu_t *g, unsigned link, uint32_t *out) {
    long long links = 0, up = 0;
    int code = give(g, "links", &links);
    if (code) return code;
    if (link >= links) return INVALID;
    code = give(g, "links_up", &up);
    *out = link < up;
    return code;
}

int nvmlDeviceGetFieldValues(gpu_t *gpu, int count, field_t *fields) {
    int code = enter(gpu), filled = 0;
    if (!code && count > 1) code = of_gpu(gpu, "", "batch", OK);
    if (code) return code;
    for (field_t *field = fields; field < fields + count; field++) {
        char name[32], key[96], text[96];
        snprintf(name, sizeof name, field->scope ? "%u.%u" : "%u", field->id, field->scope);
        snprintf(key, sizeof key, "%d.f%s", gpu->index, name);
        field->code = of_gpu(gpu, "e", name, OK);
        if (!field->code && !look(key, text, sizeof text)) field->code = NOT_SUPPORTED;
        if (field->code) continue;
        field->type = of_gpu(gpu, "t", name, 3);
        if (field->type == 0) field->value.d = strtod(text, NULL);
        else field->value.u = strtoull(text, NULL, 0);
        filled++;
    }
    return filled ? OK : NOT_SUPPORTED;
}

int nvmlEventSetCreate(void **out) { *out = &events_told; return OK; }
int nvmlEventSetFree(void *set) { (void)set; return OK; }
int nvmlDeviceGetSupportedEventTypes(gpu_t *g, uint64_t *out) { *out = 0x1f; return enter(g); }
int nvmlDeviceRegisterEvents(gpu_t *g, uint64_t kinds, void *set) { (void)set; return kinds == 8 ? enter(g) : INVALID; }

int nvmlEventSetWait_v2(void *set, event_t *out, unsigned timeout_ms) {
    (void)set;
    for (unsigned waited_ms = 0; waited_ms < timeout_ms; waited_ms += 20) {
        if (number("xids", 0) > events_told) {
            char key[32], text[96];
            int gpu = 0;
            unsigned long long xid = 0;
            snprintf(key, sizeof key, "xid%ld", ++events_told);
            if (look(key, text, sizeof text)) sscanf(text, "%d %llu", &gpu, &xid);
            memset(out, 0, sizeof *out);
            out->device = &gpus[gpu];
            out->type = 8;
            out->data = xid;
            return OK;
        }
        usleep(20000);
    }
    return TIMEOUT;
}
