certificate /certs/relay.example relay.example
serve in-derpers-place-1
end
run in-derpers-place-2
derper -version
serve and-then-to-a-file-1
