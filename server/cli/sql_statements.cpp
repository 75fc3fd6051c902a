#include "server/cli/sql_statements.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <set>

namespace pam::cli {

namespace {

bool is_word_character(char c) {
  return c == '_' || c == '$' || std::isalnum(static_cast<unsigned char>(c)) != 0;
}

/// Walks over a script character by character; `skip_...` return the end of what starts at `at`.
class scanner {
 public:
  explicit scanner(std::string_view script) : script_(script) {}

  std::vector<std::string> statements() {
    while (at_ < script_.size()) step();
    finish();
    return std::move(found_);
  }

 private:
  void step() {
    const std::string_view rest = script_.substr(at_);
    if (rest.starts_with("--")) {
      at_ = std::min(script_.size(), script_.find('\n', at_));
    } else if (rest.starts_with("/*")) {
      skip_comment();
    } else if (rest.front() == '\'') {
      take(quoted_end('\'', is_escape_string()));
    } else if (rest.front() == '"') {
      take(quoted_end('"', false));
    } else if (rest.front() == '$' && !dollar_tag().empty()) {
      const std::string_view tag = dollar_tag();
      const std::size_t close = script_.find(tag, at_ + tag.size());
      take(close == std::string_view::npos ? script_.size() : close + tag.size());
    } else if (rest.front() == ';') {
      ++at_;
      finish();
    } else if (std::isspace(static_cast<unsigned char>(rest.front())) != 0) {
      ++at_;
      if (!current_.empty() && current_.back() != ' ') current_ += ' ';
    } else {
      take(at_ + 1);
    }
  }

  void take(std::size_t end) {
    current_ += script_.substr(at_, end - at_);
    at_ = end;
  }

  void finish() {
    while (!current_.empty() && current_.back() == ' ') current_.pop_back();
    if (!current_.empty()) found_.push_back(std::move(current_));
    current_.clear();
  }

  void skip_comment() {
    int depth = 0;
    do {
      if (script_.substr(at_).starts_with("/*")) {
        ++depth;
        at_ += 2;
      } else if (script_.substr(at_).starts_with("*/")) {
        --depth;
        at_ += 2;
      } else {
        ++at_;
      }
    } while (depth > 0 && at_ < script_.size());
    at_ = std::min(at_, script_.size());
    if (!current_.empty() && current_.back() != ' ') current_ += ' ';
  }

  [[nodiscard]] bool is_escape_string() const {
    if (current_.empty() || (current_.back() != 'E' && current_.back() != 'e')) return false;
    return current_.size() == 1 || !is_word_character(current_[current_.size() - 2]);
  }

  [[nodiscard]] std::size_t quoted_end(char quote, bool has_escapes) const {
    std::size_t end = at_ + 1;
    while (end < script_.size()) {
      if (has_escapes && script_[end] == '\\') {
        end += 2;
      } else if (script_[end] != quote) {
        ++end;
      } else if (end + 1 < script_.size() && script_[end + 1] == quote) {
        end += 2;
      } else {
        return end + 1;
      }
    }
    return script_.size();
  }

  /// `$$` or `$word$` at the cursor, else nothing ($1 is a parameter).
  [[nodiscard]] std::string_view dollar_tag() const {
    if (!current_.empty() && is_word_character(current_.back())) return {};
    const std::size_t close = script_.find('$', at_ + 1);
    if (close == std::string_view::npos) return {};
    const std::string_view tag = script_.substr(at_ + 1, close - at_ - 1);
    const bool is_tag = std::ranges::all_of(tag, is_word_character) &&
                        (tag.empty() || std::isdigit(static_cast<unsigned char>(tag.front())) == 0);
    return is_tag ? script_.substr(at_, close - at_ + 1) : std::string_view{};
  }

  std::string_view script_;
  std::size_t at_ = 0;
  std::string current_;
  std::vector<std::string> found_;
};

/// A statement as words: keywords and names in upper case, brackets and commas as words of their own.
std::vector<std::string> words_of(std::string_view statement) {
  std::vector<std::string> words;
  std::string word;
  const auto flush = [&] {
    if (!word.empty()) words.push_back(std::move(word));
    word.clear();
  };
  char quote = 0;
  for (const char c : statement) {
    if (quote != 0) {
      if (c == quote) quote = 0;
    } else if (c == '\'' || c == '"') {
      quote = c;
    } else if (c == '(' || c == ')' || c == ',') {
      flush();
      words.emplace_back(1, c);
    } else if (c == ' ') {
      flush();
    } else {
      word += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    }
  }
  flush();
  return words;
}

class judge_of_statement {
 public:
  judge_of_statement(std::string_view statement, std::set<std::string>& made)
      : words_(words_of(statement)), made_(made) {
    for (std::size_t i = 0; i < words_.size() && i < 6 && words_[i] != "("; ++i) {
      if (i > 0) result_.statement += ' ';
      result_.statement += is_name(i) ? lower(words_[i]) : words_[i];
    }
  }

  forecast judge() {
    if (starts({"CREATE", "TABLE"})) {
      create_table();
    } else if (starts({"CREATE"}) && has("INDEX") && has("ON")) {
      create_index();
    } else if (starts({"CREATE", "MATERIALIZED", "VIEW"})) {
      made_.insert(name_at(3));
    } else if (starts({"ALTER", "TABLE"})) {
      alter_table();
    } else if (starts({"DROP"})) {
      drop();
    } else if (starts({"INSERT", "INTO"})) {
      note(table_lock::row_exclusive, table_work::nothing, name_at(2));
    } else if (starts({"UPDATE"}) || starts({"DELETE", "FROM"})) {
      note(table_lock::row_exclusive, table_work::rows, name_at(words_[0] == "UPDATE" ? 1 : 2));
    } else if (starts({"WITH"}) && (has("UPDATE") || has("DELETE") || has("INSERT"))) {
      const std::size_t verb = position(has("UPDATE") ? "UPDATE" : has("DELETE") ? "DELETE" : "INSERT");
      note(table_lock::row_exclusive, table_work::rows, name_at(verb + (words_[verb] == "UPDATE" ? 1 : 2)));
    } else if (starts({"REFRESH", "MATERIALIZED", "VIEW"})) {
      note(has("CONCURRENTLY") ? table_lock::share_update_exclusive : table_lock::access_exclusive,
           table_work::rewrite, name_at(has("CONCURRENTLY") ? 4 : 3));
    } else if (starts({"DO"})) {
      result_.lock = table_lock::unknown;
    }
    return std::move(result_);
  }

 private:
  static std::string lower(std::string text) {
    std::ranges::transform(text, text.begin(), [](char c) {
      return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    });
    return text;
  }
  [[nodiscard]] bool is_name(std::size_t index) const { return words_[index].find('.') != std::string::npos; }
  [[nodiscard]] std::size_t position(std::string_view word, std::size_t from = 0) const {
    for (std::size_t i = from; i < words_.size(); ++i)
      if (words_[i] == word) return i;
    return words_.size();
  }
  [[nodiscard]] bool has(std::string_view word) const { return position(word) < words_.size(); }
  [[nodiscard]] bool starts(std::initializer_list<std::string_view> words) const { return matches(0, words); }
  [[nodiscard]] bool matches(std::size_t at, std::initializer_list<std::string_view> words) const {
    for (const std::string_view word : words)
      if (at >= words_.size() || words_[at++] != word) return false;
    return true;
  }
  /// The table named at a position, past ONLY and IF [NOT] EXISTS, without its schema.
  [[nodiscard]] std::string name_at(std::size_t index) const {
    while (index < words_.size() && (words_[index] == "ONLY" || words_[index] == "IF" ||
                                     words_[index] == "NOT" || words_[index] == "EXISTS"))
      ++index;
    if (index >= words_.size()) return {};
    const std::string name = lower(words_[index]);
    const std::size_t dot = name.find('.');
    return dot == std::string::npos ? name : name.substr(dot + 1);
  }

  /// Keeps the stronger lock and the heavier work.
  void note(table_lock lock, table_work work, const std::string& table) {
    if (table.empty() || made_.contains(table)) return;
    if (lock > result_.lock || result_.table.empty()) {
      result_.lock = lock;
      result_.table = table;
    }
    result_.work = std::max(result_.work, work);
  }

  void create_table() {
    made_.insert(name_at(2));
    for (std::size_t i = position("REFERENCES"); i < words_.size(); i = position("REFERENCES", i + 1))
      note(table_lock::share_row_exclusive, table_work::nothing, name_at(i + 1));
    const std::size_t of = position("OF");
    if (of < words_.size() && words_[of - 1] == "PARTITION")
      note(table_lock::access_exclusive, table_work::nothing, name_at(of + 1));
  }

  void create_index() {
    note(has("CONCURRENTLY") ? table_lock::share_update_exclusive : table_lock::share, table_work::build,
         name_at(position("ON") + 1));
  }

  void drop() {
    if (starts({"DROP", "TABLE"})) {
      note(table_lock::access_exclusive, table_work::nothing, name_at(2));
    } else if (starts({"DROP", "INDEX"})) {
      const bool is_concurrent = matches(2, {"CONCURRENTLY"});
      note(is_concurrent ? table_lock::share_update_exclusive : table_lock::access_exclusive,
           table_work::nothing, name_at(is_concurrent ? 3 : 2));
    } else if (starts({"DROP", "MATERIALIZED", "VIEW"})) {
      note(table_lock::access_exclusive, table_work::nothing, name_at(3));
    }
  }

  void alter_table() {
    const std::string table = name_at(2);
    std::size_t at = 2;
    while (at < words_.size() && name_at(at) != table) ++at;
    while (at < words_.size() && (words_[at] == "ONLY" || words_[at] == "IF" || words_[at] == "EXISTS")) ++at;
    int depth = 0;
    std::size_t begin = ++at;
    for (; at <= words_.size(); ++at) {
      const bool is_end = at == words_.size();
      if (!is_end && words_[at] == "(") ++depth;
      if (!is_end && words_[at] == ")") --depth;
      if (!is_end && (depth > 0 || words_[at] != ",")) continue;
      alter_action(table, begin, at);
      begin = at + 1;
    }
  }

  [[nodiscard]] bool says(std::string_view word, std::size_t begin, std::size_t end) const {
    const std::size_t at = position(word, begin);
    return at < end;
  }

  void add_constraint(const std::string& table, std::size_t begin, std::size_t end) {
    const bool is_not_valid = says("VALID", begin, end) && says("NOT", begin, end);
    const table_work work = is_not_valid ? table_work::nothing : table_work::scan;
    if (says("FOREIGN", begin, end)) {
      note(table_lock::share_row_exclusive, work, table);
    } else if (says("USING", begin, end)) {
      note(table_lock::access_exclusive, table_work::nothing, table);
    } else if (says("UNIQUE", begin, end) || says("PRIMARY", begin, end) || says("EXCLUDE", begin, end)) {
      note(table_lock::access_exclusive, table_work::build, table);
    } else {
      note(table_lock::access_exclusive, work, table);
    }
  }

  /// Functions that give each row another value: the column cannot be added without writing every row.
  [[nodiscard]] bool has_volatile_default(std::size_t begin, std::size_t end) const {
    static constexpr std::array<std::string_view, 7> volatile_functions{
        "GEN_RANDOM_UUID", "CLOCK_TIMESTAMP", "RANDOM", "NEXTVAL", "UUID7", "PUBLIC.UUID7", "TIMEOFDAY"};
    return std::ranges::any_of(volatile_functions,
                               [&](std::string_view each) { return says(each, begin, end); }) ||
           (says("GENERATED", begin, end) && says("STORED", begin, end));
  }

  void alter_action(const std::string& table, std::size_t begin, std::size_t end) {
    if (matches(begin, {"ADD", "CONSTRAINT"})) {
      add_constraint(table, begin, end);
    } else if (matches(begin, {"ADD"})) {
      note(table_lock::access_exclusive,
           has_volatile_default(begin, end) ? table_work::rewrite : table_work::nothing, table);
    } else if (matches(begin, {"VALIDATE", "CONSTRAINT"})) {
      note(table_lock::share_update_exclusive, table_work::scan, table);
    } else if (matches(begin, {"ATTACH", "PARTITION"})) {
      note(table_lock::share_update_exclusive, table_work::nothing, table);
    } else if (matches(begin, {"DETACH", "PARTITION"})) {
      const bool is_gentle = says("CONCURRENTLY", begin, end) || says("FINALIZE", begin, end);
      note(is_gentle ? table_lock::share_update_exclusive : table_lock::access_exclusive, table_work::nothing,
           table);
    } else if (matches(begin, {"ALTER"}) && says("TYPE", begin, end)) {
      note(table_lock::access_exclusive, table_work::rewrite, table);
    } else if (matches(begin, {"ALTER"}) && says("SET", begin, end) && says("NULL", begin, end)) {
      note(table_lock::access_exclusive, table_work::scan, table);
    } else if (matches(begin, {"SET", "("}) ||
               (matches(begin, {"ALTER"}) && says("STATISTICS", begin, end))) {
      note(table_lock::share_update_exclusive, table_work::nothing, table);
    } else {
      note(table_lock::access_exclusive, table_work::nothing, table);
    }
  }

  std::vector<std::string> words_;
  std::set<std::string>& made_;
  forecast result_;
};

}  // namespace

std::vector<std::string> split_statements(std::string_view script) {
  return scanner{script}.statements();
}

std::string_view to_string(table_lock lock) {
  switch (lock) {
    case table_lock::none:
      return "no lock";
    case table_lock::access_share:
      return "ACCESS SHARE";
    case table_lock::row_exclusive:
      return "ROW EXCLUSIVE";
    case table_lock::share_update_exclusive:
      return "SHARE UPDATE EXCLUSIVE";
    case table_lock::share:
      return "SHARE";
    case table_lock::share_row_exclusive:
      return "SHARE ROW EXCLUSIVE";
    case table_lock::access_exclusive:
      return "ACCESS EXCLUSIVE";
    case table_lock::unknown:
      break;
  }
  return "decided while it runs";
}

std::vector<forecast> forecast_script(std::string_view script) {
  std::vector<forecast> all;
  std::set<std::string> made;
  for (const std::string& statement : split_statements(script))
    all.push_back(judge_of_statement{statement, made}.judge());
  return all;
}

}  // namespace pam::cli
