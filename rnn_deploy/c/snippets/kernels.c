/* Products, cells and the layers around them. All arrays are of float32; x is never y. */

/* @block product: y[j] += sum over i of x[i] w[i][j], eight rows of w in each pass over y */
static void model_product(const float *restrict w, const float *restrict x, size_t rows,
                          size_t cols, float *restrict y)
{
    size_t i, j;
    for (i = 0; i + 8 <= rows; i += 8, w += 8 * cols, x += 8) {
        for (j = 0; j < cols; j++) {
            y[j] += ((x[0] * w[j] + x[1] * w[cols + j])
                     + (x[2] * w[2 * cols + j] + x[3] * w[3 * cols + j]))
                    + ((x[4] * w[4 * cols + j] + x[5] * w[5 * cols + j])
                       + (x[6] * w[6 * cols + j] + x[7] * w[7 * cols + j]));
        }
    }
    for (; i < rows; i++, w += cols, x++) {
        for (j = 0; j < cols; j++) {
            y[j] += x[0] * w[j];
        }
    }
}

/* @block half: the float that the bits of a half float give without the bias of its exponent */
static float model_half(uint16_t h)
{
    uint32_t bits = ((uint32_t)(h & 0x8000u) << 16) | ((uint32_t)(h & 0x7fffu) << 13);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* @block product_half: as product, of half floats needs half */
static void model_product_half(const uint16_t *restrict w, float factor, const float *restrict x,
                               size_t rows, size_t cols, float *restrict y)
{
    size_t i, j;
    for (i = 0; i + 4 <= rows; i += 4, w += 4 * cols, x += 4) {
        for (j = 0; j < cols; j++) {
            y[j] += (x[0] * (factor * model_half(w[j]))
                     + x[1] * (factor * model_half(w[cols + j])))
                    + (x[2] * (factor * model_half(w[2 * cols + j]))
                       + x[3] * (factor * model_half(w[3 * cols + j])));
        }
    }
    for (; i < rows; i++, w += cols, x++) {
        for (j = 0; j < cols; j++) {
            y[j] += x[0] * (factor * model_half(w[j]));
        }
    }
}

/* @block row_half: one row of a table needs half */
static void model_row_half(const uint16_t *table, float factor, size_t row, size_t cols, float *y)
{
    size_t j;
    for (j = 0; j < cols; j++) {
        y[j] = factor * model_half(table[row * cols + j]);
    }
}

/* @block product_int8: as product, of integers with a scale for each row */
static void model_product_int8(const int8_t *restrict w, const float *restrict scales,
                               const float *restrict x, size_t rows, size_t cols,
                               float *restrict y)
{
    size_t i, j;
    for (i = 0; i + 4 <= rows; i += 4, w += 4 * cols) {
        const float x0 = x[i] * scales[i], x1 = x[i + 1] * scales[i + 1];
        const float x2 = x[i + 2] * scales[i + 2], x3 = x[i + 3] * scales[i + 3];
        for (j = 0; j < cols; j++) {
            y[j] += (x0 * (float)w[j] + x1 * (float)w[cols + j])
                    + (x2 * (float)w[2 * cols + j] + x3 * (float)w[3 * cols + j]);
        }
    }
    for (; i < rows; i++, w += cols) {
        const float x0 = x[i] * scales[i];
        for (j = 0; j < cols; j++) {
            y[j] += x0 * (float)w[j];
        }
    }
}

/* @block row_int8: one row of a table */
static void model_row_int8(const int8_t *table, const float *scales, size_t row, size_t cols,
                           float *y)
{
    size_t j;
    for (j = 0; j < cols; j++) {
        y[j] = scales[row] * (float)table[row * cols + j];
    }
}

/* @block simple_rnn */
static void model_simple_rnn_@ACT@(const float *restrict a, float *restrict h, size_t units)
{
    size_t j;
    for (j = 0; j < units; j++) {
        h[j] = model_@ACT@(a[j]);
    }
}

/* @block gru: a holds the candidate's input, z, r, and the candidate's recurrent product */
static void model_gru_@ACT@_@GATE@(const float *restrict a, float *restrict h, size_t units)
{
    size_t j;
    for (j = 0; j < units; j++) {
        float z = model_@GATE@(a[units + j]);
        float r = model_@GATE@(a[2 * units + j]);
        float n = model_@ACT@(a[j] + r * a[3 * units + j]);
        h[j] = z * h[j] + (1.0f - z) * n;
    }
}

/* @block gru_gates: of a GRU whose reset gate comes before the product: z, and r h */
static void model_gru_gates_@GATE@(float *restrict a, const float *restrict h, size_t units)
{
    size_t j;
    for (j = 0; j < units; j++) {
        a[units + j] = model_@GATE@(a[units + j]);
        a[2 * units + j] = model_@GATE@(a[2 * units + j]) * h[j];
    }
}

/* @block gru_update */
static void model_gru_update_@ACT@(const float *restrict a, float *restrict h, size_t units)
{
    size_t j;
    for (j = 0; j < units; j++) {
        float z = a[units + j];
        h[j] = z * h[j] + (1.0f - z) * model_@ACT@(a[j]);
    }
}

/* @block lstm: a holds the gates i, f, c, o in the order of Keras */
static void model_lstm_@ACT@_@GATE@(const float *restrict a, float *restrict h, float *restrict c,
                                    size_t units)
{
    size_t j;
    for (j = 0; j < units; j++) {
        float i = model_@GATE@(a[j]);
        float f = model_@GATE@(a[units + j]);
        float g = model_@ACT@(a[2 * units + j]);
        float o = model_@GATE@(a[3 * units + j]);
        c[j] = f * c[j] + i * g;
        h[j] = o * model_@ACT@(c[j]);
    }
}

/* @block map: y may be x */
static void model_map_@ACT@(const float *x, float *y, size_t count)
{
    size_t j;
    for (j = 0; j < count; j++) {
        y[j] = model_@ACT@(x[j]);
    }
}

/* @block slope */
static void model_slope(const float *x, const float *slope, float *y, size_t count)
{
    size_t j;
    for (j = 0; j < count; j++) {
        y[j] = x[j] < 0.0f ? slope[j] * x[j] : x[j];
    }
}

/* @block softmax needs exp */
static void model_softmax(float *v, size_t count)
{
    float most = v[0], sum = 0.0f;
    size_t j;
    for (j = 1; j < count; j++) {
        most = v[j] > most ? v[j] : most;
    }
    for (j = 0; j < count; j++) {
        v[j] = model_exp(v[j] - most);
        sum += v[j];
    }
    for (j = 0; j < count; j++) {
        v[j] /= sum;
    }
}

/* @block normalise: to mean 0 and variance 1, then by gamma and beta, where they are */
static void model_normalise(float *v, size_t count, float epsilon, const float *gamma,
                            const float *beta)
{
    float mean = 0.0f, variance = 0.0f, scale;
    size_t j;
    for (j = 0; j < count; j++) {
        mean += v[j];
    }
    mean /= (float)count;
    for (j = 0; j < count; j++) {
        v[j] -= mean;
        variance += v[j] * v[j];
    }
    scale = 1.0f / sqrtf(variance / (float)count + epsilon);
    for (j = 0; j < count; j++) {
        v[j] = v[j] * scale * (gamma ? gamma[j] : 1.0f) + (beta ? beta[j] : 0.0f);
    }
}

/* @block scale: v = v * scale + offset, element by element */
static void model_scale(float *restrict v, const float *restrict scale,
                        const float *restrict offset, size_t count)
{
    size_t j;
    for (j = 0; j < count; j++) {
        v[j] = v[j] * scale[j] + offset[j];
    }
}

/* @block differs: whether an element is not `value`; NaN is not */
static int model_differs(const float *x, size_t count, float value)
{
    size_t j;
    int found = 0;
    for (j = 0; j < count; j++) {
        found |= !(x[j] == value);
    }
    return found;
}

/* @block sum: in eight parts, which a compiler may add at once */
static float model_sum(const float *x, size_t count)
{
    float part[8] = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f}, rest = 0.0f;
    size_t i, j;
    for (j = 0; j + 8 <= count; j += 8) {
        for (i = 0; i < 8; i++) {
            part[i] += x[j + i];
        }
    }
    for (; j < count; j++) {
        rest += x[j];
    }
    return ((part[0] + part[1]) + (part[2] + part[3]))
           + ((part[4] + part[5]) + (part[6] + part[7])) + rest;
}

/* @block scores_dot: of a query with the key of each step, times a factor */
static void model_scores_dot(const float *restrict query, const float *restrict key, size_t steps,
                             size_t width, float factor, float *restrict scores)
{
    size_t i, j, s;
    for (s = 0; s < steps; s++, key += width) {
        float part[8] = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f}, rest = 0.0f;
        for (j = 0; j + 8 <= width; j += 8) {
            for (i = 0; i < 8; i++) {
                part[i] += query[j + i] * key[j + i];
            }
        }
        for (; j < width; j++) {
            rest += query[j] * key[j];
        }
        scores[s] = factor * (((part[0] + part[1]) + (part[2] + part[3]))
                              + ((part[4] + part[5]) + (part[6] + part[7])) + rest);
    }
}

/* @block scores_tanh: weight times the sum over j of each[j] tanh(inner (query[j] + key[j])); a is
   scratch memory needs tanh sum */
static void model_scores_tanh(const float *restrict query, const float *restrict key, size_t steps,
                              size_t width, const float *each, float inner, float weight,
                              float *restrict a, float *restrict scores)
{
    size_t j, s;
    for (s = 0; s < steps; s++, key += width) {
        for (j = 0; j < width; j++) {
            a[j] = model_tanh(inner * (query[j] + key[j]));
        }
        for (j = 0; each != NULL && j < width; j++) {
            a[j] *= each[j];
        }
        scores[s] = weight * model_sum(a, width);
    }
}

/* @block mask_scores: as Keras does, so that masks of no step at all give the same too */
static void model_mask_scores(float *restrict scores, const unsigned char *restrict mask,
                              size_t steps)
{
    size_t s;
    for (s = 0; s < steps; s++) {
        scores[s] = mask[s] ? scores[s] : scores[s] - 1.0e9f;
    }
}
