/* Activation functions of one number. NaN propagates; every one is exact at the infinities where
   the function has a limit. tanh and sigmoid are within 2.5 units in the last place, unless the
   result is below FLT_MIN. Define MODEL_USE_LIBM to take the functions of the C library. */

/* @block exp_parts: e^y = 2^n (1 + p) for |y| < 90, n an integer and |p| < 0.42 */
/* Cody and Waite's argument reduction and the polynomial of Cephes' expf (Moshier 1992). The sum
   with 1.5 * 2^23 rounds to an integer and leaves n in the low bits, so that no conversion to an
   integer type is needed, which NaN would make undefined. */
static inline void model_exp_parts(float y, float *scale, float *p)
{
    union { float f; uint32_t u; } t;
    float n, r;
    t.f = y * 1.44269504088896341f + 12582912.0f;
    n = t.f - 12582912.0f;
    r = (y - n * 0.693359375f) + n * 2.12194440e-4f;
    t.u = (t.u << 23) + 0x3f800000u;
    *scale = t.f;
    *p = (((((1.9875691500e-4f * r + 1.3981999507e-3f) * r + 8.3334519073e-3f) * r
            + 4.1665795894e-2f) * r + 1.6666665459e-1f) * r + 5.0000001201e-1f) * (r * r) + r;
}

/* @block tanh needs exp_parts unless MODEL_USE_LIBM */
static inline float model_tanh(float x)
{
    float y = -2.0f * fabsf(x), scale, p, e, q, r;
    y = y < -30.0f ? -30.0f : y;
    model_exp_parts(y, &scale, &p);
    e = scale * p + (scale - 1.0f); /* expm1(-2 |x|) */
    q = scale * p + scale;          /* exp(-2 |x|) */
    r = (q < 0.25f ? -2.0f * q : -e) / (1.0f + q);
    return copysignf(q < 0.25f ? 1.0f + r : r, x);
}

/* @block tanh if MODEL_USE_LIBM */
static inline float model_tanh(float x)
{
    return tanhf(x);
}

/* @block sigmoid needs exp_parts unless MODEL_USE_LIBM */
static inline float model_sigmoid(float x)
{
    float y = -x, scale, p;
    y = y < -87.0f ? -87.0f : y;
    y = y > 89.0f ? 89.0f : y; /* 2^128 is infinite, so sigmoid(-infinity) is 0 */
    model_exp_parts(y, &scale, &p);
    return 1.0f / (1.0f + scale * (1.0f + p));
}

/* @block sigmoid if MODEL_USE_LIBM */
static inline float model_sigmoid(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

/* @block exp needs exp_parts unless MODEL_USE_LIBM */
static inline float model_exp(float x)
{
    float y = x < -87.0f ? -87.0f : x, scale, p;
    y = y > 89.0f ? 89.0f : y;
    model_exp_parts(y, &scale, &p);
    p = scale * (1.0f + p);
    return x < -87.0f ? 0.0f : p;
}

/* @block exp if MODEL_USE_LIBM */
static inline float model_exp(float x)
{
    return expf(x);
}

/* @block linear */
static inline float model_linear(float x)
{
    return x;
}

/* @block relu */
static inline float model_relu(float x)
{
    return x < 0.0f ? 0.0f : x;
}

/* @block relu6 */
static inline float model_relu6(float x)
{
    return x < 0.0f ? 0.0f : (x > 6.0f ? 6.0f : x);
}

/* @block leaky_relu */
static inline float model_leaky_relu(float x)
{
    return x < 0.0f ? 0.2f * x : x;
}

/* @block hard_sigmoid */
static inline float model_hard_sigmoid(float x)
{
    float y = x * (1.0f / 6.0f) + 0.5f;
    return y < 0.0f ? 0.0f : (y > 1.0f ? 1.0f : y);
}

/* @block hard_sigmoid_keras2 */
static inline float model_hard_sigmoid_keras2(float x)
{
    float y = x * 0.2f + 0.5f;
    return y < 0.0f ? 0.0f : (y > 1.0f ? 1.0f : y);
}

/* @block hard_silu needs hard_sigmoid */
static inline float model_hard_silu(float x)
{
    return x * model_hard_sigmoid(x);
}

/* @block hard_tanh */
static inline float model_hard_tanh(float x)
{
    return x < -1.0f ? -1.0f : (x > 1.0f ? 1.0f : x);
}

/* @block softsign */
static inline float model_softsign(float x)
{
    return x / (1.0f + fabsf(x));
}

/* @block softplus */
static inline float model_softplus(float x)
{
    return (x < 0.0f ? 0.0f : x) + log1pf(expf(-fabsf(x)));
}

/* @block log_sigmoid needs softplus */
static inline float model_log_sigmoid(float x)
{
    return -model_softplus(-x);
}

/* @block elu */
static inline float model_elu(float x)
{
    return x < 0.0f ? expm1f(x) : x;
}

/* @block celu needs elu */
static inline float model_celu(float x)
{
    return model_elu(x);
}

/* @block selu */
static inline float model_selu(float x)
{
    return 1.05070098735548049342f * (x < 0.0f ? 1.67326324235437728482f * expm1f(x) : x);
}

/* @block silu needs sigmoid */
static inline float model_silu(float x)
{
    return x * model_sigmoid(x);
}

/* @block mish needs softplus tanh */
static inline float model_mish(float x)
{
    return x * model_tanh(model_softplus(x));
}

/* @block exponential */
static inline float model_exponential(float x)
{
    return expf(x);
}

/* @block gelu */
static inline float model_gelu(float x)
{
    return 0.5f * x * erfcf(-x * 0.70710678118654752440f);
}

/* @block tanh_shrink needs tanh */
static inline float model_tanh_shrink(float x)
{
    return x - model_tanh(x);
}

/* @block soft_shrink */
static inline float model_soft_shrink(float x)
{
    return x > 0.5f ? x - 0.5f : (x < -0.5f ? x + 0.5f : (x - x));
}

/* @block hard_shrink */
static inline float model_hard_shrink(float x)
{
    return fabsf(x) <= 0.5f ? 0.0f : x;
}

/* @block squareplus */
static inline float model_squareplus(float x)
{
    return 0.5f * (x + sqrtf(x * x + 4.0f));
}
