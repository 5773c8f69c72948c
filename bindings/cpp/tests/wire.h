// The lines of bindings/conformance: "do key=value ...", values percent-encoded.
#pragma once
#include <cstdlib>
#include <map>
#include <sstream>
#include <string>
#include <vector>

using Fields = std::map<std::string, std::string>;

inline std::string decoded(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      out.push_back(static_cast<char>(std::strtol(text.substr(i + 1, 2).c_str(), nullptr, 16)));
      i += 2;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

inline std::string encoded(const std::string& text) {
  static const char digits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (is_plain) {
      out.push_back(c);
    } else {
      out += {'%', digits[byte >> 4], digits[byte & 15]};
    }
  }
  return out;
}

// The command's word; its fields.
inline std::string read_command(const std::string& line, Fields& fields) {
  std::istringstream in(line);
  std::string word, pair;
  in >> word;
  while (in >> pair) {
    const size_t at = pair.find('=');
    fields[pair.substr(0, at)] = decoded(pair.substr(at + 1));
  }
  return word;
}

inline std::string write_reply(const std::string& word, const Fields& fields) {
  std::string line = word;
  for (const auto& [key, value] : fields) line += " " + key + "=" + encoded(value);
  return line;
}

inline std::string joined(const std::vector<int32_t>& ids) {
  std::string text;
  for (const int32_t id : ids) text += (text.empty() ? "" : ",") + std::to_string(id);
  return text;
}

inline std::vector<int32_t> numbers(const std::string& text) {
  std::vector<int32_t> ids;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, ',');) ids.push_back(std::atoi(part.c_str()));
  return ids;
}
