/* Standard normal numbers that are a function of where they stand: Threefry-2x64 with 20 rounds (Salmon, Moraes, Dror,
 * Shaw 2011) makes two words from a key and a counter, Box and Muller's transform two normals from these. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GLIBC__)
double log(double) __attribute__((simd("notinbranch")));
double sin(double) __attribute__((simd("notinbranch")));
double cos(double) __attribute__((simd("notinbranch")));
#endif

#define PAIRS 16
#define ALIGNED __attribute__((aligned(64)))
#define EACH_PAIR _Pragma("omp simd") for (int i = 0; i < PAIRS; i++)
#define ROUND(turn) a += b; b = (b << turn | b >> (64 - turn)) ^ a;
#define ROUNDS(p, q, r, s, x, y, n) ROUND(p) ROUND(q) ROUND(r) ROUND(s) a += x; b += (y) + n;

/* A word's upper 52 bits as a number between 1 and 2; what is subtracted puts it into the middle of its cell of (0, 1). */
typedef double __attribute__((may_alias)) Number;
#define BETWEEN_1_AND_2(word) (word >> 12 | 0x3FF0000000000000u)
#define TO_UNIT (1 - 0x1p-53)

static void tile(uint64_t seed, uint64_t stream, uint64_t first, uint64_t step, double scale, double *out) {
  uint64_t one[PAIRS] ALIGNED, other[PAIRS] ALIGNED;
  double radius[PAIRS] ALIGNED, angle[PAIRS] ALIGNED, across[PAIRS] ALIGNED;
  const uint64_t last = 0x1BD11BDAA9FC1A22u ^ seed ^ stream;
  EACH_PAIR {
    uint64_t a = first + i + seed, b = step + stream;
    ROUNDS(16, 42, 12, 31, stream, last, 1)
    ROUNDS(16, 32, 24, 21, last, seed, 2)
    ROUNDS(16, 42, 12, 31, seed, stream, 3)
    ROUNDS(16, 32, 24, 21, stream, last, 4)
    ROUNDS(16, 42, 12, 31, last, seed, 5)
    one[i] = BETWEEN_1_AND_2(a);
    other[i] = BETWEEN_1_AND_2(b);
  }
  const Number *u = (const Number *)one, *v = (const Number *)other;
  EACH_PAIR radius[i] = scale * sqrt(-2 * log(u[i] - TO_UNIT));
  EACH_PAIR angle[i] = 6.283185307179586 * (v[i] - TO_UNIT);
  /* In one loop the compiler would make both at once, by a function that has no vectors. */
  EACH_PAIR across[i] = radius[i] * cos(angle[i]);
  EACH_PAIR radius[i] *= sin(angle[i]);
  EACH_PAIR { out[2 * i] = across[i]; out[2 * i + 1] = radius[i]; }
}

/* `scale` times normals (steps, streams, count), of the steps from `first` on and of the streams in a list. */
void normals(uint64_t seed, const uint64_t *list, long streams, long count, uint64_t first, long steps, double scale,
             double *out) {
  double whole[2 * PAIRS] ALIGNED;
  for (long s = 0; s < steps; s++)
    for (long k = 0; k < streams; k++, out += count)
      for (long done = 0; done < count; done += 2 * PAIRS) {
        const int cut = count - done < 2 * PAIRS;
        tile(seed, list[k], done / 2, first + s, scale, cut ? whole : out + done);
        if (cut) memcpy(out + done, whole, (count - done) * sizeof(double));
      }
}
