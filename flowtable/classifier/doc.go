// Package classifier finds the rule of highest priority that a key matches.
package classifier
