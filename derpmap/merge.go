package derpmap

// Merge lays maps over each other, as clients do with the updates that they get, and returns what results. A region counts
// as a whole: that of a later map takes the place of the earlier one, and nil removes it. A later map with OmitDefaultRegions
// (and Regions) removes all regions before it. RegionScore counts as a whole too. Extra fields of the map and of HomeParams
// count one by one. The result shares nothing with the maps and has no nil regions; a nil map changes nothing.
func Merge(all ...*Map) *Map {
	result := new(Map)
	for _, m := range all {
		if m != nil {
			result.merge(m.Clone())
		}
	}
	return result
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
