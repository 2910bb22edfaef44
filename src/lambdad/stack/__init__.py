"""AWS SAM and CloudFormation templates, as far as Lambda goes, onto a Lambda API."""
