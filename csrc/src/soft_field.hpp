// The intervals that are still to be taken, for soft suppression. Internal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "nms_group.hpp"
#include "soft_kernels.hpp"

namespace tal::detail {

// Intervals with a key each: the larger the key, the sooner it is taken; equal keys in the order of
// `before`. There are three kinds of field, for few, some and many.
struct Best {
  std::uint32_t row;  // of the items
  double key;
};

// Few intervals: all are looked at each time.
class SmallField {
 public:
  static constexpr std::size_t kMost = 256;

  // rows: those of `items` that take part; value_of: by row of `items`, the keys but for the sign.
  SmallField(const Items& items, const std::vector<std::uint32_t>& rows, const Column<double>& value_of,
             const Decay& decay);

  bool empty() const { return left_ == 0; }
  Best take();
  void apply(const Blow& blow);

 private:
  const Items& items_;
  Decay decay_;
  std::size_t left_;
  std::vector<std::uint32_t> row_;
  std::vector<double> start_, end_, key_;  // padded
};

// Some hundred: ordered by start, eight side by side with the largest of their keys, so that a blow reaches neighbours
// only and the best one is found among the eighth part.
class StripField {
 public:
  static constexpr std::size_t kMost = 4096;

  StripField(const Items& items, std::vector<std::uint32_t> rows, const Column<double>& value_of,
             const Decay& decay);

  bool empty() const { return left_ == 0; }
  Best take();
  void apply(const Blow& blow);

 private:
  void lay_out(std::size_t slots);
  void close_up();

  const Items& items_;
  Decay decay_;
  std::size_t left_;
  std::vector<std::uint32_t> row_;
  std::vector<double> start_, end_, key_;  // padded; who is taken leaves a key of kNone
  std::vector<double> bound_;              // of eight: their largest key; padded
  std::vector<double> first_, reach_;      // of eight: their first start; the largest end of them and all before
};

// Only intervals that overlap touch each other, so they lie in blocks of neighbours.
//
// Where keys only fall, the largest key that a block once had stays an upper bound. So blows wait at
// the block until it seems to hold the best interval or its queue is full. Each key still sees the
// same operations in the same order.
class BlockField {
 public:
  BlockField(const Items& items, std::vector<std::uint32_t> rows, const Column<double>& value_of,
             const Decay& decay, bool falling);

  bool empty() const { return left_ == 0; }
  Best take();
  void apply(const Blow& blow);

 private:
  // Blocks of intervals of similar length, ordered by start. Kept apart from the others, one long
  // interval does not make a whole block of short ones seem to reach far.
  struct Lane {
    std::size_t first;
    std::size_t last;
  };

  struct Block {
    double last_end;
    std::uint32_t count;   // intervals left; padding follows
    std::uint32_t queued;  // blows that wait
  };

  static constexpr std::size_t kNowhere = static_cast<std::size_t>(-1);

  // Where intervals with the largest key are.
  struct Search {
    double key;
    std::size_t best = kNowhere;    // position of the first of them in order
    std::size_t behind = kNowhere;  // block at which blows wait, so that nothing is known yet
  };

  void add_lane(std::vector<std::uint32_t>& rows, const Column<double>& value_of);
  void add_block(const std::uint32_t* rows, std::size_t n, const Column<double>& value_of);
  std::size_t find_best();
  void look(Search& s, std::size_t level, std::size_t first, std::size_t n) const;
  bool ahead(std::size_t a, std::size_t b) const;
  void queue(std::size_t block, const Blow& blow);
  void flush(std::size_t block);
  void remove(std::size_t position);
  void refresh(std::size_t block);

  const Items& items_;
  Decay decay_;
  bool falling_;
  std::size_t left_;
  std::size_t block_ = 8;  // intervals of a block; few, where there are few, so that a blow hits few in vain
  Column<std::uint32_t> row_;
  Column<double> start_, end_, key_;  // blocks one after the other, padded
  std::vector<Lane> lanes_;
  Column<Block> blocks_;
  Column<double> first_, reach_;  // of a block: its first start; the largest end of it and all before it in its lane
  std::vector<Column<double>> bounds_{1};  // [0]: of a block, no key in it is larger; [l]: of a group of [l - 1]
  Column<Blow> queue_;                     // of a block: blows that wait
};

// The kind that fits. falling: no blow raises a key.
class Field {
 public:
  Field(const Items& items, std::vector<std::uint32_t> rows, const Column<double>& value_of,
        const Decay& decay, bool falling) {
    if (rows.size() <= SmallField::kMost) {
      few_.emplace(items, rows, value_of, decay);
    } else if (rows.size() <= StripField::kMost) {
      some_.emplace(items, std::move(rows), value_of, decay);
    } else {
      many_.emplace(items, std::move(rows), value_of, decay, falling);
    }
  }

  bool empty() const { return few_ ? few_->empty() : some_ ? some_->empty() : many_->empty(); }

  // Removes the best one. Not for an empty field.
  Best take() { return few_ ? few_->take() : some_ ? some_->take() : many_->take(); }

  void apply(const Blow& blow) { few_ ? few_->apply(blow) : some_ ? some_->apply(blow) : many_->apply(blow); }

 private:
  std::optional<SmallField> few_;
  std::optional<StripField> some_;
  std::optional<BlockField> many_;
};

}  // namespace tal::detail
