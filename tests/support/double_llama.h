// The llama forward pass over a tiny model in plain double precision: an oracle that shares nothing with the library.
#pragma once
#include <cmath>
#include <map>

#include "support/tiny_model.h"

namespace fastserve::test {

class DoubleLlama {
 public:
  using Vector = std::vector<double>;

  explicit DoubleLlama(const TinyShape& shape) : shape_(shape), tensors_(tiny_tensors(shape)) {
    for (const TinyTensor& tensor : tensors_) by_name_[tensor.name] = &tensor;
  }

  // Logits after every token.
  std::vector<Vector> logits(const std::vector<int32_t>& ids) const {
    std::vector<Vector> hidden;
    const TinyTensor& embedding = tensor("token_embd.weight");
    for (const int32_t id : ids) {
      const float* row = embedding.values.data() + static_cast<size_t>(id) * shape_.hidden;
      hidden.emplace_back(row, row + shape_.hidden);
    }
    for (uint32_t layer = 0; layer < shape_.layers; ++layer) {
      const std::string prefix = "blk." + std::to_string(layer) + ".";
      attend(prefix, hidden);
      for (Vector& row : hidden) feed_forward(prefix, row);
    }
    const TinyTensor& output = tensor(shape_.tied ? "token_embd.weight" : "output.weight");
    std::vector<Vector> all;
    for (const Vector& row : hidden) all.push_back(multiply(output, normed(row, tensor("output_norm.weight"))));
    return all;
  }

 private:
  const TinyTensor& tensor(const std::string& name) const { return *by_name_.at(name); }

  static Vector multiply(const TinyTensor& matrix, const Vector& input) {
    Vector output(matrix.values.size() / input.size());
    for (size_t row = 0; row < output.size(); ++row) {
      for (size_t i = 0; i < input.size(); ++i) {
        output[row] += static_cast<double>(matrix.values[row * input.size() + i]) * input[i];
      }
    }
    return output;
  }
  static Vector normed(const Vector& input, const TinyTensor& weight) {
    double squares = 0;
    for (const double value : input) squares += value * value;
    const double scale = 1 / std::sqrt(squares / static_cast<double>(input.size()) + 1e-5);
    Vector output(input.size());
    for (size_t i = 0; i < input.size(); ++i) output[i] = input[i] * scale * static_cast<double>(weight.values[i]);
    return output;
  }
  // Rotates pairs (2i, 2i + 1) of every head.
  void rotate(Vector& heads, size_t position) const {
    for (size_t begin = 0; begin < heads.size(); begin += shape_.head_dim) {
      for (uint32_t i = 0; i < shape_.head_dim / 2; ++i) {
        const double angle = static_cast<double>(position) / std::pow(10000.0, 2.0 * i / shape_.head_dim);
        const double a = heads[begin + 2 * i], b = heads[begin + 2 * i + 1];
        heads[begin + 2 * i] = a * std::cos(angle) - b * std::sin(angle);
        heads[begin + 2 * i + 1] = a * std::sin(angle) + b * std::cos(angle);
      }
    }
  }
  void attend(const std::string& prefix, std::vector<Vector>& hidden) const {
    std::vector<Vector> q, k, v;
    for (size_t position = 0; position < hidden.size(); ++position) {
      const Vector input = normed(hidden[position], tensor(prefix + "attn_norm.weight"));
      q.push_back(multiply(tensor(prefix + "attn_q.weight"), input));
      k.push_back(multiply(tensor(prefix + "attn_k.weight"), input));
      v.push_back(multiply(tensor(prefix + "attn_v.weight"), input));
      rotate(q.back(), position);
      rotate(k.back(), position);
    }
    const size_t dim = shape_.head_dim;
    for (size_t position = 0; position < hidden.size(); ++position) {
      Vector attended(shape_.heads * dim);
      for (size_t head = 0; head < shape_.heads; ++head) {
        const size_t kv_begin = head / (shape_.heads / shape_.kv_heads) * dim;
        Vector weights(position + 1);
        double sum = 0;
        for (size_t key = 0; key <= position; ++key) {
          double dot = 0;
          for (size_t i = 0; i < dim; ++i) dot += q[position][head * dim + i] * k[key][kv_begin + i];
          weights[key] = std::exp(dot / std::sqrt(static_cast<double>(dim)));
          sum += weights[key];
        }
        for (size_t key = 0; key <= position; ++key) {
          for (size_t i = 0; i < dim; ++i) attended[head * dim + i] += weights[key] / sum * v[key][kv_begin + i];
        }
      }
      const Vector added = multiply(tensor(prefix + "attn_output.weight"), attended);
      for (size_t i = 0; i < added.size(); ++i) hidden[position][i] += added[i];
    }
  }
  void feed_forward(const std::string& prefix, Vector& row) const {
    const Vector input = normed(row, tensor(prefix + "ffn_norm.weight"));
    Vector gate = multiply(tensor(prefix + "ffn_gate.weight"), input);
    const Vector up = multiply(tensor(prefix + "ffn_up.weight"), input);
    for (size_t i = 0; i < gate.size(); ++i) gate[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
    const Vector added = multiply(tensor(prefix + "ffn_down.weight"), gate);
    for (size_t i = 0; i < added.size(); ++i) row[i] += added[i];
  }

  TinyShape shape_;
  std::vector<TinyTensor> tensors_;
  std::map<std::string, const TinyTensor*> by_name_;
};

}  // namespace fastserve::test
