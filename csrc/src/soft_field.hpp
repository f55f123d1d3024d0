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
  SmallField(const std::vector<Item>& items, const std::vector<std::uint32_t>& rows, const std::vector<double>& value_of,
             const Decay& decay);

  bool empty() const { return left_ == 0; }
  Best take();
  void apply(const Blow& blow);

 private:
  const std::vector<Item>& items_;
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

  StripField(const std::vector<Item>& items, std::vector<std::uint32_t> rows, const std::vector<double>& value_of,
             const Decay& decay);

  bool empty() const { return left_ == 0; }
  Best take();
  void apply(const Blow& blow);

 private:
  void lay_out(std::size_t slots);
  void close_up();

  const std::vector<Item>& items_;
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
  BlockField(const std::vector<Item>& items, std::vector<std::uint32_t> rows, const std::vector<double>& value_of,
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
    double first_start;
    double last_end;
    double reach;  // largest end of this block and all before it in the lane
    std::uint32_t count;   // intervals left; padding follows
    std::uint32_t queued;  // blows that wait
  };

  void add_lane(std::vector<std::uint32_t>& rows, const std::vector<double>& value_of);
  void add_block(const std::uint32_t* rows, std::size_t n, const std::vector<double>& value_of);
  std::size_t find_best();
  bool ahead(std::size_t a, std::size_t b) const;
  void queue(std::size_t block);
  void flush(std::size_t block);
  void remove(std::size_t position);
  void refresh(std::size_t block);

  const std::vector<Item>& items_;
  Decay decay_;
  bool falling_;
  std::size_t left_;
  std::size_t block_ = 8;  // intervals of a block; few, where there are few, so that a blow hits few in vain
  std::vector<std::uint32_t> row_;
  std::vector<double> start_, end_, key_;  // blocks one after the other, padded
  std::vector<Lane> lanes_;
  std::vector<Block> blocks_;
  std::vector<double> bound_;  // of a block: no key in it is larger
  std::vector<double> crown_;  // of a group of blocks: the largest bound; empty for a single group
  std::vector<Blow> blows_;
  std::vector<std::uint32_t> queue_;  // of a block: rows of blows_
};

// The kind that fits. falling: no blow raises a key.
class Field {
 public:
  Field(const std::vector<Item>& items, std::vector<std::uint32_t> rows, const std::vector<double>& value_of,
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
