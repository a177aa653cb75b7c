package derpmap

// Merge lays maps over each other, as control servers do with those that they have,
// and returns what results. A region counts as a whole: that of a later map takes
// the place of the earlier one, and nil removes it. A later map with
// OmitDefaultRegions (and Regions) removes all regions before it. RegionScore
// counts as a whole too. Extra fields of the map and of HomeParams count one by
// one. The result shares nothing with the maps and has no nil regions; a nil map
// changes nothing.
func Merge(all ...*Map) *Map {
	result := new(Map)
	for _, m := range all {
		if m != nil {
			result.merge(m.Clone())
		}
	}
	return result
}

// Update returns the map that an update makes of the one before, as clients do with
// what their control server sends them. Other than in [Merge], Regions count as a
// whole: those of the update are all that there are, and without any, the regions
// and OmitDefaultRegions stay as they were. HomeParams without RegionScore change
// nothing. The map before may be nil; the result shares what it has with both.
func Update(before, update *Map) *Map {
	if before == nil {
		before = new(Map)
	}
	m := *update
	if m.Regions == nil {
		m.Regions, m.OmitDefaultRegions = before.Regions, before.OmitDefaultRegions
	}
	if m.HomeParams == nil || m.HomeParams.RegionScore == nil {
		m.HomeParams = before.HomeParams
	}
	return &m
}

func (m *Map) merge(later *Map) {
	m.mergeRegions(later)
	if h := later.HomeParams; h != nil {
		if m.HomeParams == nil {
			m.HomeParams = new(HomeParams)
		}
		if h.RegionScore != nil {
			m.HomeParams.RegionScore = h.RegionScore
		}
		m.HomeParams.Extra = m.HomeParams.Extra.merge(h.Extra)
	}
	m.Extra = m.Extra.merge(later.Extra)
}

func (m *Map) mergeRegions(later *Map) {
	if later.Regions == nil {
		return
	}
	if later.OmitDefaultRegions {
		m.OmitDefaultRegions = true
		m.Regions = nil
	}
	if m.Regions == nil {
		m.Regions = make(map[int]*Region, len(later.Regions))
	}
	for id, region := range later.Regions {
		if region == nil {
			delete(m.Regions, id)
			continue
		}
		m.Regions[id] = region
	}
}

func (e Extra) merge(later Extra) Extra {
	if e == nil {
		return later
	}
	for name, value := range later {
		e[name] = value
	}
	return e
}
