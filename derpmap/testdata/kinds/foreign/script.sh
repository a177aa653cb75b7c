#!/bin/sh
exec derper
