// Transcendental functions on Vec, for include after a vec16.h. Polynomials are own minimax fits; errors are over the
// whole range and relative unless said. NaN goes through.
#pragma once

namespace fastserve::kernels {
namespace {

// e^x, 1 ulp; 0 below -104, infinity above 89.
inline Vec exp_of(Vec x) {
  x = max_of(splat(-150.0f), min_of(splat(100.0f), x));
  const Vec n = round_even(x * splat(1.44269504f));
  Vec r = fma(n, splat(-0.693359375f), x);  // ln 2 in two parts; the first product is exact
  r = fma(n, splat(2.12194440e-4f), r);
  Vec p = splat(1.381459638e-03f);
  p = fma(p, r, splat(8.368717091e-03f));
  p = fma(p, r, splat(4.166838809e-02f));
  p = fma(p, r, splat(1.666652063e-01f));
  p = fma(p, r, splat(4.999999345e-01f));
  p = fma(p * r, r, r) + splat(1.0f);
  return scale_exponent(p, n);
}

inline float exp_of(float x) { return first_lane(exp_of(splat(x))); }

// 3 ulp.
inline Vec tanh_of(Vec x) {
  const Vec one = splat(1.0f), magnitude = absolute(x);
  const Vec s = x * x;
  Vec p = splat(-5.717036560e-03f);
  p = fma(p, s, splat(2.065057900e-02f));
  p = fma(p, s, splat(-5.374349526e-02f));
  p = fma(p, s, splat(1.333149125e-01f));
  p = fma(p, s, splat(-3.333328392e-01f));
  const Vec near = fma(p * s, x, x);
  const Vec far = one - splat(2.0f) / (exp_of(magnitude + magnitude) + one);
  return choose_less(magnitude, splat(0.625f), near, copy_sign(far, x));
}

// x / (1 + e^-x)
inline Vec silu_of(Vec x) { return x / (splat(1.0f) + exp_of(zero() - x)); }

// x/2 (1 + tanh(u)) = x / (1 + e^-2u) with u = sqrt(2/pi) (x + 0.044715 x^3)
inline Vec gelu_tanh_of(Vec x) {
  const Vec cubic = fma(x * x, splat(0.044715f), splat(1.0f));
  return x / (splat(1.0f) + exp_of(x * cubic * splat(-1.5957691216f)));
}

// x/2 (1 + erf(x/sqrt 2)). With z = |x|/sqrt 2 and t = 1/(1 + z/2): erfc(z) = e^(-z^2) R(t), R a fit to 4e-8.
inline Vec gelu_erf_of(Vec x) {
  const Vec one = splat(1.0f), half = splat(0.5f);
  const Vec z = absolute(x) * splat(0.70710678f);
  const Vec t = one / fma(z, half, one);
  Vec p = splat(-5.649848733e-02f);
  p = fma(p, t, splat(2.714132597e-01f));
  p = fma(p, t, splat(-4.582521445e-01f));
  p = fma(p, t, splat(2.422933313e-01f));
  p = fma(p, t, splat(6.520717447e-04f));
  p = fma(p, t, splat(1.894271419e-01f));
  p = fma(p, t, splat(2.471980248e-01f));
  p = fma(p, t, splat(2.816034530e-01f));
  p = fma(p, t, splat(2.821668377e-01f));
  p = fma(p, t, splat(-3.524057559e-06f));
  const Vec tail = p * exp_of(zero() - z * z) * half;  // the weight beyond |x|
  return x * choose_less(x, zero(), tail, one - tail);
}

}  // namespace
}  // namespace fastserve::kernels
