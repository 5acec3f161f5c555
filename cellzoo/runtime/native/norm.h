// Batch normalisation of each unit over the rows of a step: Ioffe and Szegedy, "Batch Normalization", algorithm 1,
// without scale and shift, with the biased variance.
#pragma once

#include "program.h"

namespace cellzoo {
namespace {

constexpr double norm_epsilon = 1e-5;

template <class T>
inline T *view_at(const ViewAt<T> *views, int64_t view, int64_t block) {
    return views[view].data + block * views[view].stride;
}

template <class T>
inline Vector<T> inverse_root(Vector<T> value) {
    for (int64_t i = 0; i < lanes<T>; i++) value[i] = T(1) / T(__builtin_sqrt(value[i]));
    return value;
}

// Writes the mean and the variance to `moments`, (2, size), if not null.
template <class T>
void normalise(const ViewAt<T> *views, const int64_t *norm_views, int64_t block, int64_t rows, T *moments,
               int64_t size) {
    const T *x = view_at(views, norm_views[0], block);
    T *y = view_at(views, norm_views[1], block), *statistics = view_at(views, norm_views[2], block);
    const T share = T(1) / T(rows);
    Vector<T> mean{}, variance{};
    for (int64_t i = 0; i < rows; i++) mean += load(x + i * lanes<T>);
    mean *= share;
    for (int64_t i = 0; i < rows; i++) {
        const Vector<T> apart = load(x + i * lanes<T>) - mean;
        variance += apart * apart;
    }
    variance *= share;
    for (int64_t i = 0, unit = block * lanes<T>; moments != nullptr && i < lanes<T> && unit < size; i++, unit++) {
        moments[unit] = mean[i];
        moments[size + unit] = variance[i];
    }
    const Vector<T> scale = inverse_root<T>(variance + T(norm_epsilon));
    for (int64_t i = 0; i < rows; i++) store<T>(y + i * lanes<T>, (load(x + i * lanes<T>) - mean) * scale);
    store(statistics, scale);
}

template <class T>
void normalise_backward(const ViewAt<T> *views, const int64_t *norm_views, int64_t block, int64_t rows) {
    const T *g = view_at(views, norm_views[0], block), *y = view_at(views, norm_views[1], block);
    const Vector<T> scale = load(view_at(views, norm_views[2], block));
    T *to = view_at(views, norm_views[3], block);
    const T share = T(1) / T(rows);
    Vector<T> mean{}, slope{};
    for (int64_t i = 0; i < rows; i++) {
        const Vector<T> gradient = load(g + i * lanes<T>);
        mean += gradient;
        slope += gradient * load(y + i * lanes<T>);
    }
    mean *= share;
    slope *= share;
    for (int64_t i = 0; i < rows; i++)
        store<T>(to + i * lanes<T>, scale * (load(g + i * lanes<T>) - mean - load(y + i * lanes<T>) * slope));
}

}  // namespace
}  // namespace cellzoo
