/* A machine that walks paths: registers are rows of W lanes, one lane a path, and a program is a list of instructions
 * that each make N rows from rows and scalars. All steps of a tile of W paths are made before the next tile begins, so
 * that its registers stay in the cache. Compiled once for a CPU; programs are data. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#ifndef REAL
#define REAL double
#endif
#define W 32

/* glibc has these in vectors (libmvec), and declares them so under -ffast-math alone, which would break infinities. */
#if defined(__x86_64__) && defined(__GLIBC__)
#define IN_VECTORS(f) double f(double) __attribute__((simd("notinbranch"))); float f##f(float) __attribute__((simd("notinbranch")));
IN_VECTORS(exp) IN_VECTORS(expm1) IN_VECTORS(log) IN_VECTORS(log1p) IN_VECTORS(tanh) IN_VECTORS(sinh) IN_VECTORS(cosh)
IN_VECTORS(sin) IN_VECTORS(cos) IN_VECTORS(tan) IN_VECTORS(atan) IN_VECTORS(asinh) IN_VECTORS(erf) IN_VECTORS(erfc)
double pow(double, double) __attribute__((simd("notinbranch")));
float powf(float, float) __attribute__((simd("notinbranch")));
double atan2(double, double) __attribute__((simd("notinbranch")));
float atan2f(float, float) __attribute__((simd("notinbranch")));
#endif
#include <tgmath.h> /* tanh of a float is tanhf */

#define SIMD _Pragma("omp simd aligned(a, b, o : 64)")
#define ALIGNED __attribute__((aligned(64)))

/* `op` makes N rows from row `out` on, of L terms each. The operands' numbers stand in a table, from a, b and c on.
 * Groups of `width` outputs share their inputs. */
typedef struct { int32_t op, N, L, out, a, b, c, width; } Instruction;
typedef REAL Row[W] ALIGNED;
typedef REAL Vector __attribute__((vector_size(64), may_alias));
enum { PARTS = W * sizeof(REAL) / sizeof(Vector) };

enum { FILL, DOTS, PRODUCTS, SUMS, WHERE, /* OPERATIONS */ };

#define EACH(NAME, EXPRESSION)                                                                                         \
  case NAME:                                                                                                           \
    for (int e = 0; e < N; e++) {                                                                                      \
      const REAL *a = R[T[p.a + e]], *b = a;                                                                           \
      REAL *o = R[p.out + e];                                                                                          \
      SIMD for (int w = 0; w < W; w++) { const REAL x = a[w]; o[w] = EXPRESSION; }                                     \
    }                                                                                                                  \
    break;
#define PAIR(NAME, EXPRESSION)                                                                                         \
  case NAME:                                                                                                           \
    for (int e = 0; e < N; e++) {                                                                                      \
      const REAL *a = R[T[p.a + e]], *b = R[T[p.b + e]];                                                               \
      REAL *o = R[p.out + e];                                                                                          \
      SIMD for (int w = 0; w < W; w++) { const REAL x = a[w], y = b[w]; o[w] = EXPRESSION; }                           \
    }                                                                                                                  \
    break;

/* out[e] = Σ_i scalar[e, i] · row[i]: sums stay in registers, and an input is loaded once for `width` outputs. */
static inline __attribute__((always_inline)) void dots(Row *R, const Instruction p, const int32_t *T, const REAL *S,
                                                       const int width) {
  for (int g = 0; g < p.N / width; g++) {
    const int32_t *rows = T + p.a + g * p.L, *scalars = T + p.b + g * p.L * width;
    Vector sum[width][PARTS];
    _Pragma("GCC unroll 4") for (int d = 0; d < width; d++)
      _Pragma("GCC unroll 4") for (int v = 0; v < PARTS; v++) sum[d][v] = (Vector){0};
    for (int i = 0; i < p.L; i++) {
      const Vector *a = (const Vector *)R[rows[i]];
      _Pragma("GCC unroll 4") for (int d = 0; d < width; d++) {
        const REAL s = S[scalars[i * width + d]];
        _Pragma("GCC unroll 4") for (int v = 0; v < PARTS; v++) sum[d][v] += s * a[v];
      }
    }
    _Pragma("GCC unroll 4") for (int d = 0; d < width; d++)
      _Pragma("GCC unroll 4") for (int v = 0; v < PARTS; v++) ((Vector *)R[p.out + g * width + d])[v] = sum[d][v];
  }
}

static void run(Row *R, const Instruction *program, int length, const int32_t *T, const REAL *S) {
  for (int k = 0; k < length; k++) {
    const Instruction p = program[k];
    const int N = p.N;
    switch (p.op) {
      case FILL:
        for (int e = 0; e < N; e++) for (int w = 0; w < W; w++) R[p.out + e][w] = S[T[p.a + e]];
        break;
      case DOTS:
        if (p.width == 4) dots(R, p, T, S, 4);
        else dots(R, p, T, S, 1);
        break;
      case PRODUCTS:
        for (int e = 0; e < N; e++) {
          Vector sum[PARTS] = {{0}};
          for (int i = 0; i < p.L; i++) {
            const Vector *a = (const Vector *)R[T[p.a + e * p.L + i]], *b = (const Vector *)R[T[p.b + e * p.L + i]];
            _Pragma("GCC unroll 4") for (int v = 0; v < PARTS; v++) sum[v] += a[v] * b[v];
          }
          _Pragma("GCC unroll 4") for (int v = 0; v < PARTS; v++) ((Vector *)R[p.out + e])[v] = sum[v];
        }
        break;
      case SUMS:
        for (int e = 0; e < N; e++) {
          Vector sum[PARTS] = {{0}};
          for (int i = 0; i < p.L; i++) {
            const Vector *a = (const Vector *)R[T[p.a + e * p.L + i]];
            _Pragma("GCC unroll 4") for (int v = 0; v < PARTS; v++) sum[v] += a[v];
          }
          _Pragma("GCC unroll 4") for (int v = 0; v < PARTS; v++) ((Vector *)R[p.out + e])[v] = sum[v];
        }
        break;
      case WHERE:
        for (int e = 0; e < N; e++) {
          const REAL *a = R[T[p.a + e]], *b = R[T[p.b + e]], *c = R[T[p.c + e]];
          REAL *o = R[p.out + e];
          SIMD for (int w = 0; w < W; w++) o[w] = a[w] != 0 ? b[w] : c[w];
        }
        break;
      /* CASES */
    }
  }
}

/* Walks paths `first` to `last` of `all`. Registers: the state's rows come first, then its new value's, then the noise's
 * m, then the time. `start` (rows, 1 or all); `dB` (steps, all, m); `times` (steps,); `kept` (saves,) rising numbers of
 * steps after which states go to `out` (saves, rows, all). `before` runs once a tile, `body` each step, and leaves the
 * new state in the registers `next`. */
void walk(const Instruction *before, int n_before, const Instruction *body, int n_body, const int32_t *T, const REAL *S,
          Row *R, int rows, const int32_t *next, int m, const REAL *start, int one_start, const REAL *dB, long all,
          long first, long last, int steps, const REAL *times, const int32_t *kept, int saves, REAL *out) {
  Row *fresh = R + rows, *noise = R + 2 * rows, *time = noise + m;
  for (long q = first; q < last; q += W) {
    const int lanes = last - q < W ? (int)(last - q) : W;
    for (int k = 0; k < rows; k++)
      for (int w = 0; w < W; w++) R[k][w] = one_start ? start[k] : start[k * all + q + (w < lanes ? w : 0)];
    run(R, before, n_before, T, S);
    int s = 0, i = 0;
    for (;; s++) {
      while (i < saves && kept[i] == s) {
        for (int k = 0; k < rows; k++) memcpy(out + ((long)i * rows + k) * all + q, R[k], lanes * sizeof(REAL));
        i++;
      }
      if (s == steps || i == saves) break;
      for (int w = 0; w < W; w++)
        for (int j = 0; j < m; j++) noise[j][w] = w < lanes ? dB[((long)s * all + q + w) * m + j] : 0;
      for (int w = 0; w < W; w++) (*time)[w] = times[s];
      run(R, body, n_body, T, S);
      for (int k = 0; k < rows; k++) memcpy(fresh[k], R[next[k]], sizeof(Row));
      memcpy(R, fresh, rows * sizeof(Row));
    }
  }
}
