package main

import "golang.org/x/sys/windows"

// addressInUse is what bind says about an address that is taken: Windows has its own number for it.
const addressInUse = windows.WSAEADDRINUSE
