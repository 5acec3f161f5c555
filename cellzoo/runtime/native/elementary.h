// Vectorised elementary functions. NaN gives NaN, and infinities give the limits of the functions.
#pragma once

#include "vector.h"

namespace cellzoo {
namespace {

// exp(y) = 2^n exp(r), r = y - n log 2 in [-log(2)/2, log(2)/2], log 2 split so that n times its first part is exact.
// The polynomial is the minimax approximation of (exp(r) - 1 - r) / r^2, highest power first: error 7e-8 for float
// and 2e-18 for double, before the factor r^2 < 0.12.
template <class T>
struct ExpConstants;

template <>
struct ExpConstants<float> {
    static constexpr float log2_high = 0x1.63p-1f, log2_low = -0.000212194440054690583f;
    static constexpr float round = 0x1.8p23f;  // adding it rounds to an integer
    static constexpr float bias = 127.0f;
    static constexpr int mantissa = 23;
    static constexpr float most = 104.0f;      // exp overflows here, and vanishes at minus this
    static constexpr float tanh_most = 20.0f;  // tanh(10) rounds to 1
    static constexpr int terms = 5;
    static constexpr float polynomial[terms] = {0.0013926183587713494542f, 0.0083631790527225773704f,
                                                0.041666554617204574203f, 0.16666576989698775683f, 0.5f};
};

template <>
struct ExpConstants<double> {
    static constexpr double log2_high = 0x1.62e42feep-1, log2_low = 1.9082149292705878161e-10;
    static constexpr double round = 0x1.8p52;
    static constexpr double bias = 1023.0;
    static constexpr int mantissa = 52;
    static constexpr double most = 746.0;
    static constexpr double tanh_most = 44.0;
    static constexpr int terms = 11;
    static constexpr double polynomial[terms] = {
        2.0914686968086877233e-9, 2.5105217004720745164e-8, 2.7557273643110295328e-7, 2.755725540020642443e-6,
        2.4801587325547741216e-5, 1.9841269874820625271e-4, 1.3888888888883748305e-3, 8.3333333333261351258e-3,
        0.041666666666666669755,  0.16666666666666670991,   0.5};
};

// min(max(value, -most), most). NaN stays NaN: the instructions return their second operand if one is NaN.
template <class T>
inline Vector<T> clamp(Vector<T> value, T most) {
    const Vector<T> high = broadcast(most), low = broadcast(-most);
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4)
        return _mm512_maskz_max_ps(0xffff, low, _mm512_maskz_min_ps(0xffff, high, value));
    else
        return _mm512_maskz_max_pd(0xff, low, _mm512_maskz_min_pd(0xff, high, value));
#elif defined(__AVX2__)
    if constexpr (sizeof(T) == 4)
        return _mm256_max_ps(low, _mm256_min_ps(high, value));
    else
        return _mm256_max_pd(low, _mm256_min_pd(high, value));
#else
    value = value > high ? high : value;
    return value < low ? low : value;
#endif
}

// Argument reduction: y = power * log 2 + rest.
template <class T>
struct Reduced {
    Vector<T> power, rest;
};

// For y whose power of two is within the range of the exponent.
template <class T>
inline Reduced<T> reduce(Vector<T> y) {
    using C = ExpConstants<T>;
#if defined(__AVX512F__)
    // The masked form with all lanes active, as GCC warns of an uninitialised value in the plain intrinsic.
    Vector<T> n;
    if constexpr (sizeof(T) == 4)
        n = _mm512_maskz_roundscale_ps(0xffff, y * T(1.4426950408889634074), 8);
    else
        n = _mm512_maskz_roundscale_pd(0xff, y * T(1.4426950408889634074), 8);
#else
    const Vector<T> n = (y * T(1.4426950408889634074) + C::round) - C::round;
#endif
    return {n, (y - n * C::log2_high) - n * C::log2_low};
}

// (exp(r) - 1 - r) / r^2
template <class T>
inline Vector<T> exponential_rest(Vector<T> r) {
    using C = ExpConstants<T>;
    Vector<T> q = broadcast(C::polynomial[0]);
#pragma GCC unroll 16
    for (int i = 1; i < C::terms; i++) q = q * r + C::polynomial[i];
    return q;
}

// 2^n, for n in the range of exponents of normal numbers.
template <class T>
inline Vector<T> power_of_two(Vector<T> n) {
    using C = ExpConstants<T>;
    return (Vector<T>)((Integers<T>)(n + (C::round + C::bias)) << C::mantissa);
}

template <class T>
inline Vector<T> exponential(Vector<T> y) {
    using C = ExpConstants<T>;
    const Reduced<T> e = reduce<T>(clamp<T>(y, C::most));
    const Vector<T> mantissa = (exponential_rest<T>(e.rest) * e.rest + T(1)) * e.rest + T(1);
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4)
        return _mm512_maskz_scalef_ps(0xffff, mantissa, e.power);
    else
        return _mm512_maskz_scalef_pd(0xff, mantissa, e.power);
#else
    // Scaled in two steps, as 2^n alone may overflow or underflow where the result does not.
    const Vector<T> half = (e.power * T(0.5) + C::round) - C::round;
    return mantissa * power_of_two<T>(half) * power_of_two<T>(e.power - half);
#endif
}

// exp(y) - 1, for |y| <= tanh_most.
template <class T>
inline Vector<T> exponential_minus_one(Vector<T> y) {
    const Reduced<T> e = reduce<T>(y);
    const Vector<T> scale = power_of_two<T>(e.power);
    return scale * (exponential_rest<T>(e.rest) * (e.rest * e.rest) + e.rest) + (scale - T(1));
}

template <class T>
inline Vector<T> sigmoid(Vector<T> x) {
    return T(1) / (T(1) + exponential<T>(-x));
}

// (exp(2x) - 1) / (exp(2x) + 1), accurate in relative terms near zero, too.
template <class T>
inline Vector<T> hyperbolic_tangent(Vector<T> x) {
    Vector<T> e = exponential_minus_one<T>(clamp<T>(x + x, ExpConstants<T>::tanh_most));
    return e / (e + T(2));
}

template <class T>
inline Vector<T> relu(Vector<T> x) {
    return x < T(0) ? Vector<T>{} : x;
}

template <class T>
inline Vector<T> leaky_relu(Vector<T> x) {
    return x < T(0) ? x * T(0.01) : x;
}

// Klambauer et al., "Self-Normalizing Neural Networks", equation 2.
constexpr double selu_scale = 1.0507009873554804934193349852946;
constexpr double selu_alpha = 1.6732632423543772848170429916717;

template <class T>
inline Vector<T> selu(Vector<T> x) {
    Vector<T> negative = exponential_minus_one<T>(clamp<T>(x, ExpConstants<T>::tanh_most)) * T(selu_scale * selu_alpha);
    return x < T(0) ? negative : x * T(selu_scale);
}

template <class T>
inline Vector<T> absolute(Vector<T> x) {
    return x < T(0) ? -x : x;
}

// log(1 + u) for 0 <= u <= 1: 2 artanh(s) with s = u / (2 + u) <= 1/3, by its power series, whose
// terms decrease by a factor of 9.
template <class T>
inline Vector<T> logarithm_of_one_plus(Vector<T> u) {
    constexpr int terms = sizeof(T) == 4 ? 8 : 17;
    const Vector<T> s = u / (u + T(2)), square = s * s;
    Vector<T> sum = broadcast(T(1) / T(2 * terms + 1));
#pragma GCC unroll 17
    for (int i = terms - 1; i >= 0; i--) sum = sum * square + T(1) / T(2 * i + 1);
    return (s + s) * sum;
}

// log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)), which cannot overflow.
template <class T>
inline Vector<T> softplus(Vector<T> x) {
    return relu<T>(x) + logarithm_of_one_plus<T>(exponential<T>(-absolute<T>(x)));
}

template <class T>
inline Vector<T> square_root(Vector<T> x) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4)
        return _mm512_maskz_sqrt_ps(0xffff, x);
    else
        return _mm512_maskz_sqrt_pd(0xff, x);
#elif defined(__AVX2__)
    if constexpr (sizeof(T) == 4)
        return _mm256_sqrt_ps(x);
    else
        return _mm256_sqrt_pd(x);
#else
    for (int64_t lane = 0; lane < lanes<T>; lane++)
        x[lane] = sizeof(T) == 4 ? __builtin_sqrtf(x[lane]) : __builtin_sqrt(x[lane]);
    return x;
#endif
}

// As torch: min(max(x + 3, 0), 6) / 6.
template <class T>
inline Vector<T> hard_sigmoid(Vector<T> x) {
    const Vector<T> line = x + T(3);
    const Vector<T> low = line < T(0) ? Vector<T>{} : line;
    return (low > T(6) ? broadcast(T(6)) : low) * T(1.0 / 6.0);
}

// z a + (1 - z) b, computed as torch.lerp does: b + z (a - b) where |z| < 1/2, else a + (z - 1) (a - b), so that z = 1
// gives a exactly, however large b is.
template <class T>
inline Vector<T> blend(Vector<T> z, Vector<T> a, Vector<T> b) {
    const auto from_b = z * z < T(0.25);
    return (from_b ? b : a) + (from_b ? z : z - T(1)) * (a - b);
}

}  // namespace
}  // namespace cellzoo
