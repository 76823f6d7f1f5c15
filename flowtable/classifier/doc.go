// Package classifier finds, among many rules of a key, a mask and a priority,
// the one of highest priority that a frame's key matches. It has never heard
// of OpenFlow.
//
// The plain idea: rules with the same mask stand in one subtable, a hash table
// of their masked keys. A lookup asks each subtable once (tuple space search).
//
//	Table / View
//	  subtables, highest priority first
//	    | mask words: (which word, which bits)
//	    | directory: the first bits of the hash -> leaf      (extendible hashing)
//	    |   root -> branch[64] -> twig[64] -> leaf
//	    `-- leaf: up to 16 rules, 16 bits of each hash side by side
//	          `-- Rule: masked words, priority, value
//
// What is added to it:
//
//   - Pruning. Subtables are sorted by the highest priority in them; a lookup
//     ends at the first one that could not beat what it has.
//   - Sieves. Each subtable has a Bloom filter of its keys and of parts of them
//     (sieve.go). Most lookups that a subtable has no rule for end there.
//   - Used bits. A lookup adds the bits that its answer rests on to a Mask: the
//     mask of the subtable where it found a rule, and of each other that it asked
//     the first part that no rule of it has, be it one that is in the Mask anyway.
//     Every key that agrees in those bits gets the same answer.
//   - Publication. Freeze hands out the table as it stands and starts a new
//     edition; an edit copies the nodes that an older edition may still show
//     (a leaf, two nodes above it, a few hundred bytes each) and no others, so
//     that a hundred edits between two Freezes copy each node once. A leaf
//     splits alone, and only pointers move when the directory doubles: no
//     insert ever rehashes the table.
//
// Compared before choosing, one million rules of one mask: a persistent hash
// trie of 32-way nodes looks up as fast, takes 122 bytes a rule where this
// takes 99, and costs as much or up to half more for an insert with a Freeze.
// An open-addressed array in pages was not tried: it rehashes when it grows.
//
// Rules of one key and several priorities share a leaf. Where more than
// sixteen rules have the same hash, a leaf cannot be split: they overflow into
// a sorted list that a lookup searches by halving.
//
// # Concurrency
//
// A Table has one writer at a time. A View never changes: any number of
// goroutines may look up in it while the Table is edited. Passing a View to
// them needs a synchronising store, such as an atomic pointer. Rule.Value is
// the caller's to guard.
package classifier
