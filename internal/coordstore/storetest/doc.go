// Package storetest is what each coordstore.Store must do, as a suite of tests.
package storetest
