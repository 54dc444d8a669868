{#- The amounts that the marts sum, in dollars: by name, the column of the trips of each kind. One more
    amount is one more line here; scripts/columns.py describes it in the marts. -#}
{% macro amounts() %}
    {{ return({
        'fare_amount': {'taxi': 'fare_amount', 'app': 'base_passenger_fare'},
        'extra': {'taxi': 'extra'},
        'mta_tax': {'taxi': 'mta_tax'},
        'tip_amount': {'taxi': 'tip_amount', 'app': 'tips'},
        'tolls_amount': {'taxi': 'tolls_amount', 'app': 'tolls'},
        'ehail_fee': {'taxi': 'ehail_fee'},
        'improvement_surcharge': {'taxi': 'improvement_surcharge'},
        'congestion_surcharge': {'taxi': 'congestion_surcharge', 'app': 'congestion_surcharge'},
        'airport_fee': {'taxi': 'airport_fee', 'app': 'airport_fee'},
        'cbd_congestion_fee': {'taxi': 'cbd_congestion_fee', 'app': 'cbd_congestion_fee'},
        'black_car_fund': {'app': 'bcf'},
        'sales_tax': {'app': 'sales_tax'},
        'total_amount': {'taxi': 'total_amount', 'app': total_of_app_trip()},
        'driver_pay': {'app': 'driver_pay'},
    }) }}
{% endmacro %}


{#- TLC publishes no total of apps' trips: it is what the passenger pays. -#}
{% macro total_of_app_trip() -%}
    base_passenger_fare + coalesce(tips, 0) + coalesce(tolls, 0) + coalesce(bcf, 0) + coalesce(sales_tax, 0)
    + coalesce(congestion_surcharge, 0) + coalesce(airport_fee, 0) + coalesce(cbd_congestion_fee, 0)
{%- endmacro %}


{% macro amounts_of_kind(kind) %}
    {%- for amount, columns in amounts().items() %}
    cast({{ columns[kind] | default('null') }} as {{ dbt.type_float() }}) as {{ amount }},
    {%- endfor %}
{% endmacro %}
