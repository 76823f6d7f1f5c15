// Package intest shows weir inside a Go test: a switch between pipes, without rights, devices or sleeps, whose runs
// repeat. rig_test.go is the part to copy; pipeline_test.go compares ten thousand random frames with a function of ten
// lines; time_test.go moves the clock and shows what a seed decides.
package intest
