file write-one-1 derp.yaml
sed 's/198.51.100.2$/198.51.100.20/; /derpport/d' derp.yaml >next.yaml
# The mistakes of the page, in the lines that it names.
cat >new.yaml <<-END
	regions:
	  900:
	    regionid: 900
	    regioncode: fra
	    regionname: Frankfurt
	    nodes:
	      - name: 900a
	        regionid: 900
	        hostname: https://derp1.example.com/derp
	      - name: 900a
	        regionid: 900
	        hostname: derp2.example.com
	        stun_port: 3479
END
printf '{"omitDefaultRegions": true}\n' >omit.json
printf '{\n  "Regions": {, }\n}\n' >syntax.json
show check-it-1
show check-it-2
asked "/derpmap/default=derp.yaml"
run convert-it-1
show convert-it-2
show see-what-changes-1
serves serve-it-1
like serve-it-2
run see-what-changes-2
show order-it-for-a-tailnet-1
