// The tokenizer corpus and its golden files: for each line a count and a hash, see golden/make_tokenizer.py.
#pragma once
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "base/format.h"

namespace fastserve {

inline std::vector<std::string> read_lines(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  const std::string all((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  std::vector<std::string> lines;
  size_t start = 0;
  for (size_t end; (end = all.find('\n', start)) != std::string::npos; start = end + 1) {
    lines.push_back(all.substr(start, end - start));
  }
  return lines;
}

inline std::string golden_path(const std::string& name) { return format(FASTSERVE_TEST_DATA, "/tokenizer/", name); }
inline std::vector<std::string> corpus() { return read_lines(golden_path("corpus.txt")); }

inline std::string digest_bytes(std::string_view bytes, size_t count) {
  uint32_t hash = 0x811C9DC5u;
  for (const char byte : bytes) hash = (hash ^ static_cast<uint8_t>(byte)) * 0x01000193u;
  char text[40];
  std::snprintf(text, sizeof(text), "%zu %08x", count, hash);
  return text;
}

template <typename Values>
std::string digest(const Values& values) {
  std::string bytes;
  for (const auto value : values) {
    for (int shift = 0; shift < 32; shift += 8)
      bytes.push_back(static_cast<char>(static_cast<uint32_t>(value) >> shift));
  }
  return digest_bytes(bytes, values.size());
}

// Compares digest_of(line) of every line with the golden file; shows the first few that differ.
template <typename DigestOf>
void expect_golden(const std::string& name, const std::vector<std::string>& lines, DigestOf&& digest_of) {
  const std::vector<std::string> golden = read_lines(golden_path(name));
  ASSERT_EQ(golden.size(), lines.size());
  int shown = 0, different = 0;
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::string found = digest_of(lines[i]);
    if (found == golden[i]) continue;
    if (++different; shown++ < 5) {
      ADD_FAILURE() << name << " line " << i + 1 << " (" << lines[i] << "): " << found << ", golden " << golden[i];
    }
  }
  EXPECT_EQ(different, 0) << name;
}

}  // namespace fastserve
